"""One clock for all tracks, as arithmetic: parts whose clocks start again, leap or go on."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from svlm_cli.media.clock.joins import Joins
from svlm_cli.media.clock.reordered import Reordered
from svlm_cli.media.clock.timed import JUMP_SECONDS, Timed

PICTURE, SOUND = 0, 1
STEPS = {PICTURE: 0.04, SOUND: 0.024}


def part(clock: float, spans: dict[int, tuple[float, float]]) -> list[Timed[tuple[int, float]]]:
    """Packets of one recording by their stamps; an item is its track and its time in the part."""
    made = []
    for track, (start, end) in spans.items():
        step = STEPS[track]
        count = round((end - start) / step)
        made += [
            Timed((track, start + k * step), track, clock + start + k * step, clock + start + k * step, step)
            for k in range(count)
        ]
    return sorted(made, key=lambda each: each.stamp or 0.0)


def placed(joins: Joins, *parts: list[Timed]) -> Iterator[tuple[int, int, float, float]]:
    """Part, track, time in the part and place of every packet."""
    numbers = {id(each.item): number for number, items in enumerate(parts) for each in items}
    for each, shift in joins.shifted(each for items in parts for each in items):
        assert shift is not None
        track, inner = each.item
        yield numbers[id(each.item)], track, inner, each.start + shift


def test_random_programs_lie_end_to_end() -> None:
    dice = Random(3)
    for _ in range(120):
        parts, begins, told, at, clock = [], [], [], None, 0.0
        for number in range(dice.randrange(2, 6)):
            seconds = 0.12 * dice.randrange(20, 60)
            spans = {PICTURE: (0.0, seconds), SOUND: (0.0, seconds)}
            match dice.randrange(6):
                case 0:
                    spans[SOUND] = (0.12 * dice.randrange(4, 12), seconds)
                case 1:
                    spans[SOUND] = (0.0, seconds - 0.12 * dice.randrange(4, 12))
                case 2 if number:
                    spans[PICTURE] = (0.12 * dice.randrange(4, 12), seconds)
                case 3:
                    spans[PICTURE] = (0.0, seconds - 0.12 * dice.randrange(4, 12))
                case 4 if number:
                    del spans[dice.choice((PICTURE, SOUND))]
            clock = dice.choice((0.0, clock, clock + 60, clock + 1e4)) if number else dice.uniform(0, 1e5)
            parts.append(part(clock, spans))
            told.append((clock, spans))
            begins.append(clock if at is None else at)
            at = begins[-1] + seconds
        joins = Joins([PICTURE, SOUND], PICTURE)
        for number, _, inner, place in placed(joins, *parts):
            assert place == pytest.approx(begins[number] + inner, abs=1e-6), told


def both(clock: float, seconds: float) -> list[Timed]:
    return part(clock, {PICTURE: (0.0, seconds), SOUND: (0.0, seconds)})


@pytest.mark.parametrize(("gap", "num_joins"), [(JUMP_SECONDS - 1, 0), (JUMP_SECONDS + 1, 1), (3600.0, 1)])
def test_a_gap_is_kept_and_a_leap_is_told(gap: float, num_joins: int) -> None:
    joins = Joins([PICTURE, SOUND], PICTURE)
    found = list(placed(joins, both(0.0, 6.0), both(6.0 + gap, 6.0)))
    assert max(place for *_, place in found) == pytest.approx(11.976 if num_joins else 11.976 + gap)
    assert [each.by_seconds for each in joins.joins] == pytest.approx([gap] * num_joins)
    assert [each.seconds for each in joins.joins] == pytest.approx([6.0] * num_joins)


def test_pictures_of_a_short_stretch_decide_where_it_begins() -> None:
    """Sound that leaps and soon pauses; its first frame begins before the pictures."""
    dice = Random(12)
    for _ in range(40):
        early, seconds, pause = dice.uniform(0.01, 0.25), dice.uniform(0.3, 0.9), dice.uniform(2.5, 9.0)
        at = 6.0 + dice.uniform(11, 4000)
        items = both(0.0, 6.0)
        for clock in (at, at + seconds + pause):
            items += part(clock, {PICTURE: (0.0, seconds), SOUND: (-early, seconds)})
        order = Reordered(Joins([PICTURE, SOUND], PICTURE), PICTURE)
        placed_at = [
            each.start + shift
            for item in [*items, None]
            for each, _, shift in order.put(item)
            if each.track == PICTURE and shift is not None and each.start >= at - 1e-6
        ]
        assert placed_at[0] == pytest.approx(6.0, abs=1e-6), (early, seconds, pause)


def test_sound_that_goes_on_is_no_leap() -> None:
    """A still of a minute, as screens are recorded: pictures pause, and the sound does not."""
    pictures = part(0.0, {PICTURE: (0.0, 2.0)}) + part(60.0, {PICTURE: (0.0, 2.0)})
    items = sorted(pictures + part(0.0, {SOUND: (0.0, 62.0)}), key=lambda each: each.stamp)
    joins = Joins([PICTURE, SOUND], PICTURE)
    assert {shift for _, shift in joins.shifted(items)} == {0.0}


def test_one_wrong_stamp_is_damage_and_no_leap() -> None:
    dice = Random(4)
    for _ in range(200):
        items = both(100.0, 6.0)
        wrong = dice.randrange(20, len(items) - 20)
        by = dice.choice((-50.0, -3.0, 12.0, 5000.0, 1e12))
        items[wrong] = items[wrong]._replace(stamp=items[wrong].stamp + by, start=items[wrong].start + by)
        joins = Joins([PICTURE, SOUND], PICTURE)
        shifts = [shift for _, shift in joins.shifted(items)]
        assert shifts == [None if number == wrong else 0.0 for number in range(len(items))]
        assert joins.joins == []


def test_slides_are_no_leaps() -> None:
    """Pictures far apart, without sound: as far apart as they are."""
    items = [Timed(None, PICTURE, 30.0 * k, 30.0 * k, 0.0) for k in range(20)]
    joins = Joins([PICTURE], PICTURE)
    assert {shift for _, shift in joins.shifted(items)} == {0.0}


def test_a_track_whose_clock_alone_starts_again_is_joined_to_itself() -> None:
    sound = part(50.0, {SOUND: (0.0, 12.0)})
    pictures = part(50.0, {PICTURE: (0.0, 6.0)}) + part(0.0, {PICTURE: (0.0, 6.0)})
    items = [
        each
        for pair in zip(sorted(sound * 1, key=lambda e: e.stamp)[: len(pictures)], pictures, strict=False)
        for each in pair
    ]
    joins = Joins([PICTURE, SOUND], PICTURE)
    last = {}
    for each, shift in joins.shifted(items):
        last[each.track] = each.start + shift
    assert last[PICTURE] == pytest.approx(50.0 + 12.0 - 0.04)
    assert last[SOUND] == pytest.approx(sound[len(pictures) - 1].start)


def of_fragments(*parts: list[Timed]) -> list[Timed]:
    """The order in which libav reads them, joined: what has the lowest time comes first, of any part."""
    waiting = [
        [each for items in parts for each in items if each.track == track] for track in (PICTURE, SOUND)
    ]
    order = []
    while any(waiting):
        order.append(min(filter(None, waiting), key=lambda items: items[0].stamp).pop(0))
    return order


def test_fragments_give_the_tracks_in_the_order_of_their_stamps() -> None:
    dice = Random(7)
    for _ in range(40):
        parts, begins, at = [], [], 0.0
        for late in (0.0, dice.choice((0.0, 0.12, 0.96))):
            seconds = 0.12 * dice.randrange(60, 150)
            parts.append(part(0.0, {PICTURE: (0.0, seconds), SOUND: (0.0, seconds - late)}))
            begins.append(at)
            at += seconds
        numbers = {id(each.item): number for number, items in enumerate(parts) for each in items}
        for each, shift in Joins([PICTURE, SOUND], PICTURE).shifted(of_fragments(*parts)):
            assert each.start + shift == pytest.approx(
                begins[numbers[id(each.item)]] + each.item[1], abs=1e-6
            )


def test_tracks_of_many_joined_recordings_go_on_in_their_own() -> None:
    """A short one is over before another track comes to it; the file tells which is whose."""
    dice = Random(8)
    for _ in range(40):
        parts, begins, at = [], [], 0.0
        for number in range(dice.randrange(3, 6)):
            seconds = 0.12 * dice.randrange(20, 150)
            items = part(0.0, {PICTURE: (0.0, seconds), SOUND: (dice.choice((0.0, -0.02)), seconds)})
            parts.append([each._replace(part=number) for each in items])
            begins.append(at)
            at += seconds
        for each, shift in Joins([PICTURE, SOUND], PICTURE).shifted(of_fragments(*parts)):
            assert each.start + shift == pytest.approx(begins[each.part] + each.start, abs=0.03)
