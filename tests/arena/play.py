"""One scenario, from start to row: healthy passes first, then the fault, then passes until it is decided.

The one place that knows in which order a scenario goes.
"""

import time

import judge
import watch as watching
from product import Product
from world import NotReady, World

# Windows are shortened alike for all: a pass every two seconds instead of five minutes.
PASS_SECONDS = 2.0
# Exit code for a configuration that is not sound.
REFUSED = 78
BEFORE, AFTER = 3, 3
LONGEST = 90


def play(scenario, binary, engine, tag, template, keep=False):
    world = World(scenario, engine, tag, template)
    watch = None
    try:
        world.start()
        product = Product(binary, world.root, world.filled(scenario.configuration))
        for _ in range(scenario.part("timing").get("before", BEFORE)):
            if one_pass(product).code == REFUSED:
                raise NotReady(f"the configuration is refused: {product.passes[-1].data.get('error')}")
        watch = watching.Watch(world)
        alerts = len(product.events("alert"))
        quiet = [judge.named(d) for one in product.passes for d in one.diagnoses]
        world.bring_fault(product.wait_for_event)
        began = world.began
        until_decided(world, watch, product)
        watch.close()
        row = judge.judge(world, watch, product, began, alerts)
        if quiet:
            row.harm.append(f"diagnosed before the fault: {', '.join(sorted(set(quiet)))}")
        return row, product.passes
    finally:
        if watch:
            watch.close()
        world.close(keep)


def one_pass(product):
    started = time.monotonic()
    done = product.heal()
    time.sleep(max(0.0, PASS_SECONDS - (time.monotonic() - started)))
    return done


def until_decided(world, watch, product):
    """Passes until what is wanted has happened, and some more: what is done then is harm."""
    scenario = world.scenario
    timing, deadline = scenario.part("timing"), time.monotonic() + scenario.part("expect").get("seconds", LONGEST)
    after = None
    while time.monotonic() < deadline:
        if after is None and is_decided(scenario, watch, product):
            after = timing.get("after", AFTER if scenario.fixes else 6)
        if after == 0:
            return
        one_pass(product)
        after = after - 1 if after is not None else None


def is_decided(scenario, watch, product):
    if scenario.is_quiet:
        return True
    if watch.met_at is None or watch.mended and not watch.is_well:
        return False
    fixes = [one for one in product.passes if one.fix]
    return len(fixes) >= len(scenario.fixes)
