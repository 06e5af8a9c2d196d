"""The oracle: what healer should have concluded and done in a scenario, against what it said and what the world shows.

Reads `--json`, `events.jsonl`, exit codes, the knowledge base and a watch. Never a word in a log alone.
"""

import collections
import dataclasses

from product import HUNG, moment

# Words of holds that only ask to wait a little; in every scenario a pass may hold so before and after it acts.
PASSING = {"cooldown", "start_grace", "human_grace", "flapping", "too_new", "min_duration"}


@dataclasses.dataclass
class Row:
    """None: does not apply."""

    scenario: str
    player: str
    detected: bool | None = None
    cause: bool | None = None
    action: bool | None = None
    harm: list = dataclasses.field(default_factory=list)
    detect_seconds: float | None = None
    repair_seconds: float | None = None
    notes: list = dataclasses.field(default_factory=list)

    @property
    def is_right(self):
        return not self.harm and False not in (self.detected, self.cause, self.action)


def judge(world, watch, product, began, events_before):
    scenario, expect = world.scenario, world.filled(world.scenario.part("expect"))
    row = Row(scenario.name, "healer")
    passes = [one for one in product.passes if one.started >= began]
    row.harm = watch.harm()
    row.notes += watch.troubles + world.trouble + exit_codes(product.passes)
    if watch.well_since and (watch.sick_at or 0) > world.began:
        row.repair_seconds = watch.well_since - world.began
    fixes = [(one.fix["plan"]["fix_type"], one.fix["outcome"]) for one in product.passes if one.fix]
    if scenario.is_quiet:
        judge_quiet(row, expect, product, fixes)
    else:
        judge_fault(row, expect, watch, passes, product)
        judge_action(row, expect, passes, fixes, scenario, watch)
    if row.action and "recovered" in expect:
        told = [one for one in passes if one.data.get("recovered")]
        require(row, "action", bool(told) == expect["recovered"], f"`recovered` was told {len(told)} times")
    judge_records(row, product, fixes)
    if "alerts" in expect:
        alerts = collections.Counter(e["alert"]["kind"] for e in product.events("alert")[events_before:])
        alerts.pop("resolved", None)
        require(row, "action", dict(alerts) == expect["alerts"], f"alerts {dict(alerts)}, not {expect['alerts']}")
    return row


def require(row, column, holds, note):
    if not holds:
        setattr(row, column, False)
        row.notes.append(note)


def judge_quiet(row, expect, product, fixes):
    row.action = True
    require(row, "action", not fixes, f"acted: {fixes}")
    if expect.get("calm", True):
        row.cause = True
        said = sorted({named(one) for each in product.passes for one in each.diagnoses})
        require(row, "cause", not said, f"diagnosed where nothing is wrong: {', '.join(said)}")
    for component in expect.get("never", []):
        row.cause = row.cause is not False
        blamed = any(d["trigger"]["component"] == component for each in product.passes for d in each.diagnoses)
        require(row, "cause", not blamed, f"{component} was blamed")


def judge_fault(row, expect, watch, passes, product):
    """Within one pass of the trigger being met, and that cause alone."""
    row.detected = row.cause = False
    if watch.met_at is None:
        row.notes.append("the trigger was never met: the fault did not show")
        return
    due = [one for one in passes if one.started >= watch.met_at]
    hits = [one for one in passes if any(is_wanted(d, expect) for d in one.diagnoses)]
    if not hits:
        said = sorted({named(one) for each in passes for one in each.roots})
        row.notes.append(f"not diagnosed in {len(due)} passes; instead: {', '.join(said) or 'nothing'}")
        return
    allowed = expect.get("passes", 1)
    late = sum(1 for one in due if one.started < hits[0].started) + 1
    row.detected = late <= allowed
    require(row, "detected", row.detected, f"detected in pass {late} after the trigger was met, not {allowed}")
    row.detect_seconds = max(0.0, seen_at(hits[0], product) - watch.met_at)
    first = hits[0]
    row.cause = True
    others = {named(one) for one in first.roots if not is_wanted(one, expect)} - set(expect.get("also", []))
    require(row, "cause", not others, f"root causes beside the right one: {', '.join(sorted(others))}")
    require(row, "cause", bool(first.roots) and is_wanted(first.roots[0], expect), "the right cause is not the first root")


def is_wanted(diagnosis, expect):
    components = expect["component"] if isinstance(expect["component"], list) else [expect["component"]]
    types = expect["issue_type"] if isinstance(expect["issue_type"], list) else [expect["issue_type"]]
    return diagnosis["issue_type"] in types and diagnosis["trigger"]["component"] in components


def named(diagnosis):
    return f"{diagnosis['issue_type']}@{diagnosis['trigger']['component']}"


def seen_at(one, product):
    """When this pass had made up its mind: its event, which comes before it acts."""
    told = [moment(event) for event in product.events("pass")]
    return next((at for at in told if one.started <= at <= one.ended), one.ended)


def judge_action(row, expect, passes, fixes, scenario, watch):
    wanted = scenario.fixes
    row.action = True
    require(row, "action", fixes == wanted, f"fixes {fixes or 'none'}, not {wanted or 'none'}")
    held = [(one, d) for one in passes for d in one.diagnoses if is_wanted(d, expect) and d["decision"] == "hold"]
    allowed = set(expect.get("hold", [])) | set(expect.get("wait", [])) | PASSING
    words = [d["hold"] for _, d in held]
    odd = sorted(set(words) - allowed) if "hold" in expect or not wanted else []
    require(row, "action", not odd, f"held for {', '.join(odd)}, not {', '.join(sorted(expect.get('hold', [])))}")
    if "hold" in expect:
        require(row, "action", bool(words) and words[-1] in expect["hold"],
                f"held at last for {words[-1] if words else 'nothing'}, not {' or '.join(expect['hold'])}")
    if watch.mended:
        require(row, "action", watch.is_well, "not mended at the end")


def judge_records(row, product, fixes):
    """What is learned is what was said."""
    learned = [(record["fix_type"], record["result_status"]) for record in product.records()]
    told = [pair for pair in fixes if pair[1] not in ("interrupted", "still_open")]
    require(row, "action", learned == told, f"recorded {learned}, told {told}")


CODES = {"healed": {0, 10}, "rolled_back": {12}, "failed": {12}, "unproven": {10}, "conflict": {13}, "rollback_failed": {13}}


def exit_codes(passes):
    """Exit codes that do not say what the pass did."""
    found = []
    for one in passes:
        if one.code == HUNG:
            right = {0}
        elif one.fix:
            right = CODES.get(one.fix["outcome"], {one.code})
        else:
            right = {10} if one.roots and not one.data.get("recovered") else {0, 10}
        if one.code not in right:
            why = one.data.get("error") or one.said.strip()[-300:]
            found.append(f"exit code {one.code}, not {right} ({why})")
    return found
