from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest

import policies
from policies.enforced import ENFORCED, INERT, require_enforced
from policies.fields import Section
from policies.terms import Terms, json_schema, parse
from policies.vocabulary import LEAKS, LeakId
from records import canonical
from records.errors import MalformedDocument
from tests.unit.policies.factories import DESIGN

PUBLISHED = Path(policies.__file__).parent / "schema" / "terms.schema.json"


def refusal(**fields: Any) -> str:
    with pytest.raises(MalformedDocument) as caught:
        parse({"product": "alice.people", **fields})
    return str(caught.value)


def test_the_designs_document_parses_and_says_what_it_says() -> None:
    terms = parse(DESIGN)
    assert (terms.provider, terms.grade, terms.release.min_units) == ("skyline", "general", 10)
    assert terms.column("dep_delay").functions == ("avg", "count", "sum", "var")
    assert terms.column("dep_delay").clamp == (-60, 600)
    assert terms.release.differencing == "off"
    assert terms.to_json()["valid"] == {"from": "2026-01-01", "until": "2027-01-01"}
    assert terms.privacy.delta == "0.000001"


def test_yaml_json_and_mapping_give_the_same_digest() -> None:
    terms = parse(DESIGN)
    again = (parse(terms.to_json()), parse(canonical.encode(terms.to_json()).decode()))
    assert {other.digest for other in again} == {terms.digest}
    assert again == (terms, terms)


def test_order_in_lists_does_not_change_the_digest_and_content_does() -> None:
    one = parse({"product": "a.b", "purposes": ["research", "audit"]})
    assert one.digest == parse({"product": "a.b", "purposes": ["audit", "research"]}).digest
    assert one.digest != parse({"product": "a.b", "purposes": ["audit"]}).digest


def test_minimal_terms_permit_nothing_and_protect_rows() -> None:
    terms = parse({}, product="alice.people")
    assert (terms.purposes, terms.buyers.allow, terms.leaks, terms.columns) == ((), (), (), {})
    assert (terms.grade, terms.unit, terms.release.min_units) == ("important", "row", 10)
    assert terms.column("anything").reveal == ("never",)
    assert terms.parties.accept == ("notary", "provider")


def test_product_is_filled_in_and_never_replaced() -> None:
    assert parse({}, product="alice.people").product == "alice.people"
    assert parse({"product": "alice.people"}, product="alice.people").product == "alice.people"
    with pytest.raises(MalformedDocument, match="another product"):
        parse({"product": "alice.people"}, product="alice.sales")
    with pytest.raises(MalformedDocument, match="`product`: the field is missing"):
        parse({})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"purpose": []}, "unknown field `purpose`; allowed: product, grade"),
        ({"release": {"min_unit": 3}}, "`release`: unknown field `min_unit`; allowed: min_units"),
        ({"columns": {"x": {"reveals": []}}}, "`columns.x`: unknown field `reveals`"),
        ({"product": "alice"}, "`product`: a product is named `provider.table`"),
        ({"product": "1.people"}, "`product`: a provider is a letter"),
        ({"grade": "core"}, "`grade`: core data is not listable"),
        ({"grade": "secret"}, "`grade`: expected 'general' or 'important'"),
        ({"unit": 3}, "`unit`: expected `row`, a column, a list of columns, or {none: reason}"),
        ({"unit": {"none": ""}}, "`unit`: expected `row`"),
        ({"unit": []}, "`unit`: a list names at least one column"),
        ({"purposes": ["Any Thing"]}, "`purposes[0]`: string should match pattern"),
        ({"purposes": None}, "`purposes`: expected a list"),
        ({"purposes": "research"}, "`purposes`: expected a list"),
        ({"techniques": ["magic"]}, "`techniques[0]`: expected 'local'"),
        ({"leaks": ["everything"]}, "`leaks[0]`: expected 'row-count'"),
        ({"leaks": ["row-count", "row-count"]}, "`leaks`: an entry stands twice"),
        ({"columns": {"x": {"reveal": ["all"]}}}, "`columns.x.reveal[0]`: expected 'plain'"),
        ({"columns": {"x": {"reveal": ["never", "plain"]}}}, "`never` stands alone"),
        ({"columns": {"x": {"reveal": ["after-aggregate"]}}}, "`after-aggregate` needs `functions`"),
        ({"columns": {"x": {"clamp": [3, 3]}}}, "the first bound is below the second"),
        ({"columns": {"x": {"clamp": [3]}}}, "`columns.x.clamp[1]`: the field is missing"),
        ({"columns": {"x": {}, "X": {}}}, "two columns differ only in upper and lower case"),
        ({"columns": {"": {}}}, "`columns.?`: string should have at least 1 character"),
        ({"release": {"min_units": 2}}, "`release.min_units` is at least 3 where a unit is named"),
        ({"release": {"min_units": "10"}}, "`release.min_units`: expected a valid integer"),
        ({"release": {"min_units": True}}, "`release.min_units`: expected a valid integer"),
        ({"release": 3}, "`release`: expected a mapping"),
        ({"privacy": {"delta": "1.5"}}, "`privacy.delta`: a ratio is at most 1"),
        ({"privacy": {"epsilon_total": "-1"}}, "`privacy.epsilon_total`: string should match pattern"),
        ({"privacy": {"delta": "1e-31"}}, "`privacy.delta`: a decimal has at most 30 places"),
        ({"uses": {"total": -1}}, "`uses.total`: expected greater than or equal to 0"),
        ({"valid": {"from": "01/02/2026"}}, "`valid.from`: a day is written `YYYY-MM-DD`"),
        ({"valid": {"from": "2026-02-30"}}, "`valid.from`: no such day"),
        ({"valid": {"from": "2026-02-02", "until": "2026-02-02"}}, "`from` is before `until`"),
        ({"price": {"currency": "yuan"}}, "`price.currency`: string should match pattern"),
        ({"price": {"per_use": -1}}, "`price.per_use`: expected greater than or equal to 0"),
        ({"approval": "never"}, "`approval`: expected `auto`, `manual`"),
    ],
)
def test_a_faulty_field_is_refused_with_its_path(fields: dict[str, Any], message: str) -> None:
    assert message in refusal(**fields)


def test_all_faults_are_named_at_once() -> None:
    message = refusal(grade="x", release={"max_rows": 0}, leaks=["x"])
    assert all(path in message for path in ("`grade`", "`release.max_rows`", "`leaks[0]`"))


def test_no_value_of_the_document_reaches_a_message_or_its_cause() -> None:
    canary = "canary-4711 é"
    hiding_places: tuple[dict[str, Any], ...] = (
        {"grade": canary},
        {"purposes": [canary]},
        {"unit": {"none": [canary]}},
        {"columns": {"x": {"reveal": [canary]}}},
        {"release": {"dominance": canary}},
        {"valid": {"from": canary}},
        {"privacy": {"delta": canary}},
        {"approval": canary},
        {canary: 1},
        {"columns": {canary * 20: {}}},
    )
    for fields in hiding_places:
        with pytest.raises(MalformedDocument) as caught:
            parse({"product": "alice.people", **fields})
        assert "4711" not in str(caught.value)
        assert caught.value.__cause__ is None


def test_the_floor_of_min_units_holds_only_where_a_unit_is_named() -> None:
    assert parse({"product": "a.b", "release": {"min_units": 3}}).release.min_units == 3
    weather = parse({"product": "a.b", "unit": {"none": "weather"}, "release": {"min_units": 1}})
    assert not weather.names_unit


def test_units_of_every_form() -> None:
    forms: dict[str, tuple[Any, tuple[str, ...]]] = {
        "row": ("row", ()),
        "column": ("person", ("person",)),
        "list": (["person", "day"], ("day", "person")),
        "column named row": (["row"], ("row",)),
        "none": ({"none": "weather"}, ()),
    }
    for unit, columns in forms.values():
        terms = parse({"product": "a.b", "unit": unit})
        assert terms.unit_columns == columns
        assert parse(terms.to_json()) == terms


def test_the_star_stands_for_unlisted_columns_only() -> None:
    columns = {"*": {"reveal": ["plain"]}, "name": {}}
    terms = parse({"product": "a.b", "columns": columns})
    assert terms.column("city").reveal == ("plain",)
    assert terms.column("name").reveal == ("never",)


def test_columns_are_found_in_any_spelling_so_that_the_star_does_not_reach_a_listed_one() -> None:
    terms = parse({"product": "a.b", "columns": {"*": {"reveal": ["plain"]}, "Name": {}}})
    assert terms.column("NAME").reveal == ("never",)


def test_terms_fit_a_table_only_if_it_has_every_column_they_name() -> None:
    terms = parse({"product": "a.b", "unit": "person", "columns": {"*": {}, "City": {}}})
    terms.require_columns(["person", "city", "age"])
    with pytest.raises(MalformedDocument, match="names `City`, which the table does not have"):
        terms.require_columns(["person", "age"])
    with pytest.raises(MalformedDocument, match="names `person`"):
        terms.require_columns(["city"])


def test_terms_fit_a_table_only_if_it_has_every_column_that_they_declare_something_of() -> None:
    for declared in ({"keys": [["id", "day"]]}, {"most": {"day": 2}}, {"ranges": {"day": [0, 1]}}):
        terms = parse({"product": "a.b", "public": declared})
        terms.require_columns(["ID", "DAY"])
        with pytest.raises(MalformedDocument, match="names `day`, which the table does not have"):
            terms.require_columns(["id"])


UNENFORCED: list[tuple[str, dict[str, Any]]] = [
    ("release.dominance", {"release": {"dominance": {"n": 2, "k": "0.9"}}}),
    ("release.p_ratio", {"release": {"p_ratio": "0.1"}}),
    ("release.round_to", {"release": {"round_to": 5}}),
    ("release.differencing", {"release": {"differencing": "refuse"}}),
    ("release.differencing", {"release": {"differencing": "suppress"}}),
    ("privacy.required", {"privacy": {"required": True}}),
    ("price.per_epsilon", {"price": {"per_epsilon": 300}}),
    ("approval", {"approval": "manual"}),
    ("approval", {"approval": {"people": 2, "author_excluded": True}}),
    ("refused_result.charge_compute", {"refused_result": {"charge_compute": True}}),
]


@pytest.mark.parametrize(("path", "fields"), UNENFORCED)
def test_a_knob_that_nothing_enforces_is_refused(path: str, fields: dict[str, Any]) -> None:
    assert refusal(**fields).startswith(f"`{path}` is not enforced by this version; remove it or write `")
    # Control: the document is well-formed, and passes once the knob is enforced.
    document = Terms.model_validate({"product": "alice.people", **fields}).to_json()
    require_enforced(document, {knob: value for knob, value in INERT.items() if knob != path})


def test_every_unenforced_knob_has_a_test() -> None:
    assert {path for path, _ in UNENFORCED} == set(INERT)


def leaves(section: type[Section], prefix: str = "") -> set[str]:
    paths: set[str] = set()
    for name, field in section.model_fields.items():
        path = prefix + (field.alias or name)
        match field.annotation:
            case type() as inner if issubclass(inner, Section):
                paths |= leaves(inner, path + ".")
            case _:
                paths.add(path)
    return paths


def test_every_knob_is_either_enforced_or_declared_not_to_be() -> None:
    assert not set(ENFORCED) & set(INERT)
    assert leaves(Terms) == set(ENFORCED) | set(INERT)


def test_every_leak_is_described() -> None:
    assert set(LEAKS) == set(get_args(LeakId))


def test_the_published_schema_is_the_generated_one() -> None:
    """After a change: write `json.dumps(json_schema(), indent=2, ensure_ascii=False)` to the file."""
    assert json.loads(PUBLISHED.read_text(encoding="utf-8")) == json_schema()
