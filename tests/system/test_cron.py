"""Cron expressions beside a slow and simple reading of them: step through the minutes, look at the wall's clock.

A time is due in the first minute in which the clock shows it, or shows a later one for the first time."""

import datetime
import random
import subprocess
import zoneinfo

from cluster import BUILD

ZONES = ["UTC", "Europe/Berlin", "Europe/Dublin", "America/New_York", "America/Nuuk", "America/St_Johns", "Asia/Kolkata",
         "Asia/Kathmandu", "Australia/Lord_Howe", "Africa/Casablanca", "Pacific/Apia", "Pacific/Chatham", "America/Santiago"]
DAYS = 60
MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
WEEK = "sun mon tue wed thu fri sat".split()
BOUNDS = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 7)]


def answers(questions):
    lines = "".join(f"{zone} {after} {count} {expression}\n" for zone, after, count, expression in questions)
    done = subprocess.run([BUILD / "patchbay-cron"], input=lines, capture_output=True, text=True, timeout=60, check=True)
    return [[int(word) for word in line.split()] for line in done.stdout.splitlines()]


def any_range(dice, field):
    low, high = BOUNDS[field]
    kind = dice.random()
    if kind < 0.3:
        return f"*/{dice.randint(1, max(2, high // 2))}", True
    first, last = sorted(dice.randint(low, high) for _ in range(2))
    names = {3: MONTHS, 4: WEEK}.get(field)
    if kind < 0.5:
        return f"{first}-{last}/{dice.randint(1, 7)}", False
    if kind < 0.6 and names and last - low < len(names):
        return f"{names[first - low]}-{names[last - low]}", False
    return str(first), False


def any_field(dice, field):
    if dice.random() < (0.3, 0.3, 0.6, 0.7, 0.6)[field]:
        return "*"
    return ",".join(any_range(dice, field)[0] for _ in range(dice.randint(1, 3)))


def values(field, text):
    low, high = BOUNDS[field]
    found = set()
    for part in text.split(","):
        part, _, step = part.partition("/")
        first, _, last = part.partition("-")
        for names, base in ((MONTHS, 1), (WEEK, 0)):
            first = str(names.index(first) + base) if first in names else first
            last = str(names.index(last) + base) if last in names else last
        first, last = (low, high) if part == "*" else (int(first), int(last or first))
        found.update(range(first, last + 1, int(step or 1)))
    return {n % 7 for n in found} if field == 4 else found


class Clock:
    """The minutes of DAYS days in a zone: when the clock first showed which."""

    def __init__(self, zone, after):
        zone, epoch = zoneinfo.ZoneInfo(zone), datetime.datetime(1970, 1, 1)
        self.shown, latest, begin = [], None, after - after % 60
        for at in range(begin - 2 * 86400, begin + DAYS * 86400, 60):
            local = datetime.datetime.fromtimestamp(at, zone).replace(tzinfo=None)
            minute = (local - epoch) // datetime.timedelta(minutes=1)
            for new in range(latest + 1 if latest else minute, minute + 1):
                if at > after:
                    self.shown.append((at, epoch + datetime.timedelta(minutes=new)))
            latest = max(latest or minute, minute)

    def next(self, expression, count):
        texts = expression.split()
        minutes, hours, days, months, week = [values(n, text) for n, text in enumerate(texts)]
        either = not texts[2].startswith("*") and not texts[4].startswith("*")
        found = []
        for at, t in self.shown:
            if t.minute in minutes and t.hour in hours and t.month in months and at not in found[-1:]:
                in_days, in_week = t.day in days, t.isoweekday() % 7 in week
                if in_days or in_week if either else in_days and in_week:
                    found.append(at)
            if len(found) == count:
                break
        return found


def moments(dice, zone):
    """Some at random, some in the days before the clock changes."""
    begin = dice.randint(1577836800, 2650000000)  # 2020 to 2053
    info = zoneinfo.ZoneInfo(zone)
    changes = [at for at in range(begin, begin + 366 * 86400, 86400)
               if datetime.datetime.fromtimestamp(at, info).utcoffset() !=
               datetime.datetime.fromtimestamp(at + 86400, info).utcoffset()]
    return [begin, *[at - dice.randint(0, 86400) for at in changes[:2]], *[at + 86400 for at in changes[:1]]]


def test_next_times_are_those_of_a_clock_that_is_watched():
    dice, checked = random.Random(20261126), 0
    for zone in ZONES:
        for after in moments(dice, zone):
            clock = Clock(zone, after)
            expressions = [" ".join(any_field(dice, n) for n in range(5)) for _ in range(12)]
            expressions += ["30 2 * * *", "*/10 * * * *", "0 0 * * *", "15 1-3 * * *"]
            for expression in expressions:
                expected = clock.next(expression, 5)
                given = answers([(zone, after, 5, expression)])[0] if expected else []
                assert given[:len(expected)] == expected, (zone, after, expression)
                checked += len(expected)
    assert checked > 1000
