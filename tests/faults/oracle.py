"""What must hold after every case, whatever the fault was.

Lives here: the laws, and the passes that are run to see them. It knows the program from outside alone: command line,
exit codes, the files of the state directory. May not live here: faults, and how a scene is made.

`judge(scene)` returns the laws that were broken, as sentences; none is what a case wants. It is called after the fault,
and runs the next pass and the one after that.
"""

import contextlib
import json
import os
import stat

from scene import PRUNE, attributes

# Outcomes after which the files hold what the fix wrote, and what they held before it.
KEPT = {"healed", "unproven"}
UNDONE = {"rolled_back", "rolled_back_by_operator", "failed"}
# A human is called: the files are as the failure left them, and nothing touches them any more.
CALLED = {"rollback_failed", "conflict"}

CODES = {0, 1, 2, 10, 11, 12, 13, 14, 78, 130}


def judge(scene, human_may_be_called=False):
    """Everything that must hold after a fault, at once and after the next passes. `human_may_be_called`: the fault may
    have been such that undoing was impossible (never so after a kill)."""
    broken = at_once(scene) + next_passes(scene, human_may_be_called)
    # Whoever cannot look up whether a restart has happened repeats it: so it is after other faults than these.
    return broken if human_may_be_called else broken + repeated(scene)


def at_once(scene):
    """What holds at every single instant, before any recovery."""
    broken = targets(scene)
    if not broken:
        broken += charged(scene) + records(scene)
        if not scene.is_open():
            broken += closed(scene)
    return broken


def next_passes(scene, human_may_be_called=False):
    """What holds after the next pass, and that the one after it finds nothing left to end."""
    with scene.noise():
        ran = scene.run(("heal", "--json"))
    called = human_may_be_called and bool(outcomes(scene) & CALLED)
    wanted = {0, 10, 12} | ({13} if called else set())
    broken = [f"the next pass: {why}" for why in ended_well(ran, wanted)]
    broken += [f"after the next pass: {why}" for why in settled(scene, called)]
    if broken:
        return broken + [ran.shown()]
    return quiet(scene, called) + (repeated(scene) if called else [])


def repeated(scene):
    """A rollback that failed says that the same command repeats it: then it does, to the end."""
    if scene.kind.command[0] != "rollback" or "rollback_failed" not in outcomes(scene):
        return []
    metadata = [json.loads(path.read_text()) for path in (scene.state / "backups").glob("*/metadata.json")]
    meant = [m["backup_id"] for m in metadata if m["reason"] not in ("rollback", "conflict")]
    ran = scene.run(("rollback", *meant, "--yes"))
    broken = ended_well(ran, {0}) + settled(scene, called=False)
    return [f"the rollback again: {why}" for why in broken] + ([ran.shown()] if broken else [])


def settled(scene, called):
    """Nothing is open, nothing is left behind, disk and knowledge base and service agree."""
    broken = targets(scene) + charged(scene) + records(scene)
    if scene.is_open():
        broken.append(f"the journal still holds {sorted(p.name for p in (scene.state / 'journal').iterdir())}")
    broken += leftovers(scene)
    if called:
        return broken
    return broken + closed(scene) + service(scene)


def quiet(scene, called):
    """The pass after the next one recovers nothing and changes nothing; backups are whole, and can be pruned."""
    before = seen(scene)
    ran = scene.run(("heal", "--json"))
    broken = ended_well(ran, {0, 10})
    if recovered(ran):
        broken.append(f"it recovered something again: {recovered(ran)}")
    if seen(scene) != before:
        broken.append("it changed a target, a record or the service")
    broken += settled(scene, called)
    if broken:
        return [f"the pass after the next one: {why}" for why in broken] + [ran.shown()]
    return backups(scene)


# Single laws


def targets(scene):
    """Each target is wholly old or wholly new, with everything that belongs to it; a link is still that link."""
    broken = []
    for file in scene.kind.files:
        path = scene.root / file.real
        if file.named != file.real:
            broken += link(scene, file)
        try:
            content, info = path.read_bytes(), path.lstat()
        except OSError as error:
            broken.append(f"{file.real} cannot be read: {error}")
            continue
        if content not in (scene.before[file], scene.after[file]):
            broken.append(f"{file.real} is neither old nor new: {len(content)} bytes, ending in {content[-60:]!r}")
        broken += metadata(file, path, info)
    return broken


def link(scene, file):
    path = scene.root / file.named
    if path.is_symlink() and path.resolve() == (scene.root / file.real).resolve():
        return []
    return [f"{file.named} is no longer the link to {file.real}"]


def metadata(file, path, info):
    broken = []
    if not stat.S_ISREG(info.st_mode) or info.st_nlink != 1:
        broken.append(f"{file.real} is no regular file with one name")
    if stat.S_IMODE(info.st_mode) != file.mode:
        broken.append(f"{file.real} has mode {stat.S_IMODE(info.st_mode):o}, not {file.mode:o}")
    if os.geteuid() == 0 and (info.st_uid, info.st_gid) != (12345, 23456):
        broken.append(f"{file.real} belongs to {info.st_uid}:{info.st_gid}")
    for name, value in supported(path.parent, attributes(file)).items():
        found = None
        with contextlib.suppress(OSError):
            found = os.getxattr(path, name)
        if found != value:
            broken.append(f"{file.real} has {name} = {found!r}, not {value!r}")
    return broken


_supported = {}


def supported(directory, wanted):
    """Those extended attributes that this file system can hold, tried once."""
    device = directory.stat().st_dev
    if device not in _supported:
        probe = directory.parent / ".probe"
        probe.write_bytes(b"")
        names = set()
        for name, value in wanted.items():
            with contextlib.suppress(OSError):
                os.setxattr(probe, name, value)
                names.add(name)
        probe.unlink()
        _supported[device] = names
    return {name: value for name, value in wanted.items() if name in _supported[device]}


def contents(scene):
    return {file: (scene.root / file.real).read_bytes() for file in scene.kind.files}


def touched(scene):
    """Whether a target was changed or the service restarted."""
    return contents(scene) != scene.before or scene.restarts() != scene.restarts_before or scene.level() != "low"


def new_lines(scene):
    return scene.lines("fix_knowledge_base.jsonl")[scene.records_before :]


def new_records(scene):
    """Terminal records that were written since the scene was made."""
    return [line for line in new_lines(scene) if "kind" not in line]


def outcomes(scene):
    """How everything ended since the scene was made; of a rollback whose restart failed only the attempts say so."""
    said = {line.get("result_status") or line.get("verdict") for line in new_lines(scene)}
    return said | {line.get("outcome") for line in scene.lines("attempts.jsonl")[scene.attempts_before :]}


def charged(scene):
    """A fix is charged before it changes anything: a crash loop must not fix for ever."""
    charges = [line["fix"] for line in scene.lines("attempts.jsonl") if line.get("kind") == "charge"]
    broken = []
    if scene.kind.armed and touched(scene) and len(charges) <= scene.charges_before:
        broken.append("a target was changed or the service restarted without a charge")
    broken += [f"{r['id']} has a record and no charge" for r in new_records(scene) if r.get("id") not in charges]
    return broken


def records(scene):
    """At most one terminal record per fix, each whole."""
    ids = [record.get("id") for record in new_records(scene)]
    return [f"{name} has {ids.count(name)} terminal records" for name in sorted({i for i in ids if ids.count(i) > 1})]


def closed(scene):
    """With nothing open the disk is what the knowledge base says."""
    said = [line.get("result_status") or line.get("verdict") for line in new_lines(scene)]
    decided = [outcome for outcome in said if outcome in KEPT | UNDONE | CALLED]
    if decided and decided[-1] in CALLED:
        return []
    last = decided[-1] if decided else None
    if scene.kind.command[0] == "rollback":
        wanted = scene.after if last == "rolled_back_by_operator" else scene.before
    else:
        wanted = scene.after if last in KEPT else scene.before
    found = contents(scene)
    level = "high" if scene.kind.level and last in KEPT else "low"
    broken = [] if scene.level() == level else [f"the knowledge base says {last or 'nothing'}, but the level is not {level}"]
    return broken + [
        f"the knowledge base says {last or 'nothing'}, but {file.real} is {state(scene, file, found[file])}"
        for file in scene.kind.files
        if found[file] != wanted[file]
    ]


def state(scene, file, content):
    """One word for what a target holds."""
    if content == scene.before[file]:
        return "as before"
    return "as after it" if content == scene.after[file] else "neither"


def service(scene):
    """The service runs with what is on the disk."""
    if not scene.kind.restart or scene.loaded() == b"".join(contents(scene).values()):
        return []
    return ["the service runs with content that is not on the disk: its last restart is older than the last change"]


def repeated(scene):
    """A restart that has happened is not repeated: one for each fix and one for its undoing, one for a rollback."""
    restarts = scene.restarts() - scene.restarts_before
    charges = sum(line.get("kind") == "charge" for line in scene.lines("attempts.jsonl")) - scene.charges_before
    most = 2 * charges if scene.kind.armed else int(scene.kind.restart)
    return [f"the service was restarted {restarts} times where {most} are enough"] if restarts > most else []


def leftovers(scene):
    """No temporary file beside a target or in the state directory."""
    broken = []
    expected = {str(scene.root / name) for file in scene.kind.files for name in (file.named, file.real)}
    for directory, _, names in os.walk(scene.root / "srv"):
        broken += [f"{directory}/{name} is left" for name in names if f"{directory}/{name}" not in expected]
    for directory, inner, names in os.walk(scene.state):
        temporary = [n for n in [*names, *inner] if n.startswith(".") or n.endswith((".new", ".tmp"))]
        # What a killed backup or prune left is removed by the next one.
        if "/state/backups" not in directory:
            broken += [f"{directory}/{name} is left" for name in temporary]
    return broken


def backups(scene):
    """Every backup is whole; a prune works and leaves nothing but what it keeps."""
    there = scene.state / "backups"
    if not there.is_dir():
        return []
    verified = scene.run(("backups", "verify"))
    broken = ended_well(verified, {0})
    if broken:
        return [f"backups verify: {why}" for why in broken] + [verified.shown()]
    if scene.kind.name != "prune":
        return []
    pruned = scene.run(PRUNE)
    broken = ended_well(pruned, {0})
    left = sorted(path.name for path in there.iterdir())
    if len(left) != 1 or left[0].startswith("."):
        broken.append(f"{left} is left where one backup should be")
    return [f"a prune afterwards: {why}" for why in broken] + ([pruned.shown()] if broken else [])


def seen(scene):
    return contents(scene), len(new_lines(scene)), scene.restarts()


# How a run ended


def ended_well(ran, codes):
    """A documented exit code out of these, no panic, and an answer that can be read where one was asked for."""
    broken = no_panic(ran)
    if ran.code not in codes:
        broken.append(f"exit code {ran.code}, not one of {sorted(codes)}")
    if "--json" in ran.argv and document(ran) is None:
        broken.append("stdout is not one JSON document")
    return broken


def no_panic(ran):
    """Neither a panic, nor a signal, nor a code that no document names."""
    broken = []
    if ran.timed_out:
        broken.append("it did not end")
    elif ran.code not in CODES:
        broken.append(f"exit code {ran.code} is not documented")
    if "panicked" in ran.stderr:
        broken.append("it panicked")
    return broken


def document(ran):
    try:
        return json.loads(ran.stdout)
    except ValueError:
        return None


def recovered(ran):
    """What a pass says it found open."""
    data = (document(ran) or {}).get("data") or {}
    return data.get("recovered_transaction")
