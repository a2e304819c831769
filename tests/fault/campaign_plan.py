# SPDX-License-Identifier: Apache-2.0
"""One run, drawn from the seed and its number alone: which fault, on which job, where and when."""
import campaign_network_fault  # adds its kinds
import campaign_want_fault  # adds its kinds
from campaign_fault import KINDS

# Where a job's processes are: all on this host with a coordinator of the launcher's, or with one of its own; ranks on two
# hosts and the coordinator on a third.
OWN, APART, HOSTS = "own", "apart", "hosts"


class Plan:
    def __init__(self, draw, build, kind=None, ranks=None):
        self.build = build
        names = list(KINDS)
        drawn = draw.choices(names, [KINDS[name].weight for name in names])[0]
        self.kind = kind or drawn
        fault = KINDS[self.kind]
        self.place = draw.choices(fault.places, [{OWN: 6, APART: 1, HOSTS: 3}[one] for one in fault.places])[0]
        self.ranks = ranks or draw.randint(max(2, fault.ranks_min), 6)
        self.on_loss = draw.choice(["replace", "replace", "shrink"])
        self.spares = 1 if self.on_loss == "replace" and draw.random() < 0.35 else 0
        self.traced = draw.random() < 0.1
        self.steps = draw.randint(12, 24)
        self.step_ms = draw.choice([2, 10, 25])
        self.at_step = draw.randint(0, self.steps - 1)
        self.after_ms = draw.uniform(0, 2.0 * self.step_ms + 10)
        self.slots = draw.sample(range(self.ranks), min(3, self.ranks))
        self.second_after_ms = draw.uniform(0, 200)
        self.seed = draw.getrandbits(32)
        self.pause_ms = draw.uniform(50, 2500)
        self.within_us = int(10 ** draw.uniform(0, 3.7))  # 1 us to 5 ms after a rank came into a call
        self.down_ms = draw.uniform(0, 1500)  # until a coordinator, or a host, is back
        self.for_ms = draw.uniform(100, 3000)  # a fault of the network that heals
        self.lasting = draw.random() < 0.3  # one that does not
        self.loss = draw.uniform(0.01, 0.25)
        self.delay_ms = draw.uniform(1, 60)
        self.clock_step_s = draw.choice([-86400, -3600, -7, 7, 3600, 86400])
        self.coin = draw.random() < 0.5
        # A host more or less full, never empty.
        self.first_of_b = draw.randint(1, self.ranks - 1)
        self.letter = draw.choice("ab")
        if self.place == HOSTS:
            self.traced = False  # one recording daemon would serve all of the hosts
        fault.adjust(self)

    @property
    def fault(self):
        return KINDS[self.kind]

    def letters(self):
        return "ab" if self.place == HOSTS else "a"

    def slots_of(self, letter):
        if self.place != HOSTS:
            return range(self.ranks)
        return range(self.first_of_b) if letter == "a" else range(self.first_of_b, self.ranks)

    def hit_slots(self):
        return self.slots[:self.fault.aims]

    def losses(self):
        """How many ranks the fault takes at most."""
        return self.fault.losses(self)

    def text(self):
        slots = ",".join(str(slot) for slot in self.hit_slots()) or "-"
        return (f"{self.kind} {self.place} slots={slots} ranks={self.ranks}"
                f"{f'/{self.first_of_b}' if self.place == HOSTS else ''} on_loss={self.on_loss} "
                f"spares={self.spares} step={self.at_step}/{self.steps}{' traced' if self.traced else ''}")
