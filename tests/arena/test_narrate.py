from hypothesis import given
from hypothesis import strategies as st

from svlm_cli.arena.moments import SILENT_KINDS, Kind
from svlm_cli.arena.narrate import MAX_LINE_WORDS, SpokenEvent, line_of, parse_line, vocabulary
from svlm_cli.arena.setup import KITS, REFEREES, TEAMS, draw_setup

SCORES = st.tuples(st.integers(0, 10), st.integers(0, 10))


@st.composite
def spoken_events(draw):
    kind = draw(st.sampled_from([kind for kind in Kind if kind not in SILENT_KINDS]))
    names = st.none() | st.sampled_from(TEAMS)
    scores = st.none() | SCORES
    if kind is Kind.CARD:
        return SpokenEvent(kind, referee=draw(st.none() | st.sampled_from(REFEREES)))
    name = draw(names)
    kit = draw(st.none() | st.sampled_from(KITS)) if name else None
    return SpokenEvent(kind, name, kit, draw(scores))


@given(spoken_events())
def test_parsing_undoes_narrating(event):
    assert parse_line(line_of(event)) == (event,)


@given(st.lists(spoken_events(), max_size=4), st.text("xyz .!,", max_size=9))
def test_several_events_and_unknown_words_in_one_text(events, noise):
    text = f" {noise} ".join(line_of(event) for event in events)
    assert parse_line(f"{noise} {text.upper()} {noise}") == tuple(events)


@given(st.lists(st.sampled_from(vocabulary())).map(" ".join) | st.text())
def test_any_text_parses(text):
    for event in parse_line(text):
        assert event.kind not in SILENT_KINDS


def test_the_lines_as_they_are_documented():
    documented = {
        "kick off by red Lions": SpokenEvent(Kind.KICK_OFF, "Lions", "red"),
        "kick off by blue Sharks nil nil": SpokenEvent(Kind.KICK_OFF, "Sharks", "blue", (0, 0)),
        "pass by red Lions": SpokenEvent(Kind.PASS, "Lions", "red"),
        "steal by red Lions": SpokenEvent(Kind.STEAL, "Lions", "red"),
        "shot by red Lions": SpokenEvent(Kind.SHOT, "Lions", "red"),
        "save by blue Sharks": SpokenEvent(Kind.SAVE, "Sharks", "blue"),
        "goal for red Lions two one": SpokenEvent(Kind.GOAL, "Lions", "red", (2, 1)),
        "foul": SpokenEvent(Kind.FOUL),
        "free kick for blue Sharks": SpokenEvent(Kind.FREE_KICK, "Sharks", "blue"),
        "score two one": SpokenEvent(Kind.SCORE, score=(2, 1)),
        "card by referee Moreno": SpokenEvent(Kind.CARD, referee="Moreno"),
    }
    for line, event in documented.items():
        assert line_of(event) == line


def test_vocabulary_is_small_and_covers_lines_and_opening_texts():
    words = vocabulary()
    assert len(words) == len(set(words)) <= 160
    assert len(TEAMS) >= 24
    for seed in range(50):
        assert set(draw_setup("soccer", seed).opening_text.split()) <= set(words)
    longest = line_of(SpokenEvent(Kind.KICK_OFF, "Lions", "red", (10, 9)))
    assert len(longest.split()) == MAX_LINE_WORDS
    assert set(longest.split()) <= set(words)
