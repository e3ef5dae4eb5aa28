"""Secrets at rest: one JSON document under a passphrase (scrypt, RFC 7914; AES-256-GCM), private files.

A passphrase comes from a file that only its owner may read, or from a prompt; never from an argument
or the environment, where other processes see it.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from records import canonical
from records.canonical import Json
from records.errors import MalformedDocument, NotPermitted, SignatureInvalid, UnknownObject

SCRYPT_N = 1 << 17
"""128 MiB and some 0.3 s for every guess (OWASP's figure for r = 8, p = 1)."""
MAX_SCRYPT_N = 1 << 20
SALT_BYTES = 16
NONCE_BYTES = 12
SCHEME = "scrypt-aes256gcm"


def seal(secret: Json, passphrase: str, name: str, *, scrypt_n: int = SCRYPT_N) -> bytes:
    """Return `secret` encrypted under `passphrase`, bound to `name`, as canonical JSON."""
    salt, nonce = secrets.token_bytes(SALT_BYTES), secrets.token_bytes(NONCE_BYTES)
    header: dict[str, Json] = {"scheme": SCHEME, "n": scrypt_n, "salt": salt.hex(), "name": name}
    ciphertext = AESGCM(_key(passphrase, salt, scrypt_n)).encrypt(
        nonce, canonical.encode(secret), canonical.encode(header)
    )
    return canonical.encode(header | {"nonce": nonce.hex(), "ciphertext": ciphertext.hex()})


def unseal(data: bytes, passphrase: str, name: str) -> Json:
    """Return the secret.

    Raises:
        MalformedDocument: not a sealed file.
        SignatureInvalid: another passphrase or name, or changed bytes.
    """
    match canonical.decode(data):
        case {
            "scheme": "scrypt-aes256gcm",
            "n": int(n),
            "salt": str(salt),
            "name": str(stated),
            "nonce": str(nonce),
            "ciphertext": str(ciphertext),
            **rest,
        } if not rest and 2 <= n <= MAX_SCRYPT_N and n & (n - 1) == 0:
            if stated != name:
                raise SignatureInvalid(f"these are not the keys of `{name}`")
            header: Json = {"scheme": SCHEME, "n": n, "salt": salt, "name": name}
            try:
                cipher = AESGCM(_key(passphrase, _unhex(salt), n))
                return canonical.decode(
                    cipher.decrypt(_unhex(nonce), _unhex(ciphertext), canonical.encode(header))
                )
            except (InvalidTag, ValueError) as error:
                raise SignatureInvalid(f"the keys of `{name}` do not open: wrong passphrase?") from error
    raise MalformedDocument("not a sealed key file")


def read_passphrase(source: Path | Callable[[], str]) -> str:
    """Return the passphrase from a private file (its first line) or a prompt.

    Raises:
        UnknownObject: there is no such file.
        NotPermitted: others may read the file.
        MalformedDocument: it is empty.
    """
    if isinstance(source, Path):
        passphrase = read_private(source).decode("utf-8", errors="strict").split("\n", 1)[0]
    else:
        passphrase = source()
    if not passphrase:
        raise MalformedDocument("the passphrase is empty")
    return passphrase


def make_folder(folder: Path) -> None:
    """Create `folder` for its owner alone.

    Raises:
        NotPermitted: it exists and others may look into it.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if stat.S_IMODE(folder.stat().st_mode) & 0o077:
        raise NotPermitted(f"the folder `{folder.name}` is open to others: set its mode to 0700")


def write_private(path: Path, data: bytes) -> None:
    """Write `data` to `path` with mode 0600; after a crash the old or the new content is there, whole."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def read_private(path: Path) -> bytes:
    """Read a file that only its owner may read.

    Raises:
        UnknownObject: there is no such file.
        NotPermitted: others may read it.
    """
    try:
        # The mode is asked of the open file: a path could be exchanged between two looks at it.
        with path.open("rb") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise NotPermitted(f"`{path.name}` is readable by others: set its mode to 0600")
            return file.read()
    except FileNotFoundError as error:
        raise UnknownObject(f"there is no file `{path.name}`") from error


def _key(passphrase: str, salt: bytes, n: int) -> bytes:
    return Scrypt(salt=salt, length=32, n=n, r=8, p=1).derive(passphrase.encode())


def _unhex(text: str) -> bytes:
    data = bytes.fromhex(text)
    if data.hex() != text:
        raise ValueError("one value has one spelling")
    return data
