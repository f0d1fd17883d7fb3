# SPDX-License-Identifier: Apache-2.0
"""What the spectator sees: a live table, or plain lines without terminal."""

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from demo import host, rules
from nova_xen_overcommit.agent.sensors.scenario import Scenario

_PLAIN_WIDTH = 100
_PER_SECOND = 4
_BAR = 24


class Show:
    """Tells what happens; ``moment`` gives the newest moment, if any."""

    def __init__(
        self, scenario: Scenario, moment: Callable[[], rules.Moment | None]
    ) -> None:
        self.console = Console(highlight=False)
        if not self.console.is_terminal:
            self.console.width = _PLAIN_WIDTH
        self._scenario = scenario
        self._moment = moment
        self._act = ""
        self._began_s = time.monotonic()

    def say(self, text: str) -> None:
        """Tell one thing that happened."""
        elapsed_s = time.monotonic() - self._began_s
        self.console.print(Text(f"{elapsed_s:6.1f} s  {text}"))

    def act(self, title: str) -> None:
        """Begin a new act."""
        self._act = title
        self.console.print(Text(f"\n{title}", style="bold"))

    def curtain(self) -> None:
        """Print the table as it stands, where it isn't live anyway."""
        if not self.console.is_terminal:
            self.console.print(self._picture())

    @contextlib.contextmanager
    def live(self) -> Iterator[None]:
        """Keep the table up to date while the context lasts."""
        if not self.console.is_terminal:
            yield
            return
        with Live(
            console=self.console,
            get_renderable=self._picture,
            refresh_per_second=_PER_SECOND,
        ):
            yield

    def _picture(self) -> Group:
        moment = self._moment()
        if moment is None:
            return Group(Text("starting …"))
        return Group(self._table(moment), Text(_host_line(moment)))

    def _table(self, moment: rules.Moment) -> Table:
        table = Table(title=self._act, title_justify="left", expand=False)
        for name in ("#", "guest"):
            table.add_column(name)
        for name in ("actual", "target", "demand", "used", "swap"):
            table.add_column(name, justify="right")
        table.add_column(f"0 … {_flavor_mib(moment)} MiB")
        for number, guest in enumerate(moment.guests, 1):
            told = moment.told.get(guest.uuid)
            table.add_row(
                str(number),
                self._scenario.use_of(number).name,
                _mib(guest.actual_kib),
                *_told(told),
                _bar(guest, told),
            )
        return table


def _flavor_mib(moment: rules.Moment) -> int:
    sizes = [guest.flavor_kib for guest in moment.guests]
    return max(sizes, default=host.KIB * host.KIB) // host.KIB


def _told(told: rules.Told | None) -> tuple[str, str, str, str]:
    if told is None:
        return ("?", "?", "?", "?")
    return (
        _mib(told.target_kib),
        _mib(told.demand_kib),
        _mib(told.used_kib),
        _mib(told.swap_used_kib),
    )


def _mib(kib: int | None) -> str:
    return "?" if kib is None else str(kib // host.KIB)


def _bar(guest: host.Seen, told: rules.Told | None) -> Text:
    """Draw what is used, what is only had, and what others have now."""
    used_kib = (told.used_kib if told else None) or 0
    filled = round(_BAR * guest.actual_kib / guest.flavor_kib)
    busy = min(filled, round(_BAR * used_kib / guest.flavor_kib))
    return Text.assemble(
        ("█" * busy, "red"),
        ("▒" * (filled - busy), "green"),
        ("·" * (_BAR - filled), "dim"),
    )


def _host_line(moment: rules.Moment) -> str:
    held_kib = sum(guest.actual_kib for guest in moment.guests)
    flavors_kib = sum(guest.flavor_kib for guest in moment.guests)
    return (
        f"Host {host.HOST_MIB} MiB, {host.RESERVED_MIB} its own: "
        f"{len(moment.guests)} guests of {_mib(flavors_kib)} MiB in all "
        f"hold {_mib(held_kib)}, free "
        f"{_mib(rules.USABLE_KIB - held_kib)}; promise "
        f"{moment.promised_mib}, Placement hands out {moment.capacity_mib}"
    )
