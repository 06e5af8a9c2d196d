"""Many passes over healthy services with noisy logs: nothing may be done, and nothing diagnosed."""

import collections
import os
import time

import scenario as scenarios
import watch as watching
from product import Product
from world import World

SCENARIO = "noisy-logs"
TOLD_EVERY = 100


def passes(count, binary, engine, template):
    scenario = scenarios.read(SCENARIO)
    world = World(scenario, engine, f"arena{os.getpid()}-quiet", template)
    sums = collections.Counter()
    watch = None
    try:
        world.start()
        watch = watching.Watch(world)
        product = Product(binary, world.root, world.filled(scenario.configuration))
        started = time.monotonic()
        for number in range(1, count + 1):
            one = product.heal()
            # Only this one is needed.
            del product.passes[:]
            sums.update(actions=bool(one.fix), incidents=len(one.diagnoses), errors=one.code != 0)
            if number % TOLD_EVERY == 0:
                print(f"   {number} passes: {figures(sums)}", flush=True)
        seconds = time.monotonic() - started
        lines = len(world.logs.lines("noisy"))
        alerts = len(product.events("alert"))
        watch.close()
        harm = watch.harm()
    finally:
        if watch:
            watch.close()
        world.close()
    print(f"{count} passes over healthy services with noisy logs ({lines} lines or more): {figures(sums)}, {alerts} alerts, "
          f"{len(harm)} times harm; {1000 * seconds / count:.0f} ms a pass")
    for line in harm:
        print(f"   {line}")
    return 1 if sums["actions"] or sums["incidents"] or sums["errors"] or alerts or harm else 0


def figures(sums):
    return f"{sums['actions']} actions, {sums['incidents']} incidents, {sums['errors']} passes that did not end with 0"
