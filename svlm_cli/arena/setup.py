"""Who plays: what is drawn once per match, and what the opening text tells."""

from __future__ import annotations

from dataclasses import dataclass

from svlm_cli.arena.dice import Dice

PLAYERS_PER_TEAM = 4
NUM_PLAYERS = 2 * PLAYERS_PER_TEAM
WINNING_SCORE = 10

KITS = ("red", "blue", "yellow", "white", "black", "purple")
TEAMS = (
    *("Lions", "Sharks", "Eagles", "Wolves", "Bears", "Tigers", "Hawks", "Foxes", "Bulls", "Rams"),
    *("Ravens", "Cobras", "Falcons", "Panthers", "Dragons", "Giants", "Knights", "Pirates", "Rockets"),
    *("Comets", "Titans", "Vikings", "Badgers", "Otters", "Stags", "Owls", "Herons", "Storks"),
)
REFEREES = (
    *("Moreno", "Tanaka", "Olsen", "Costa", "Novak", "Diallo", "Singh", "Rossi", "Keller", "Okafor"),
    *("Lindgren", "Haddad", "Petrov", "Silva", "Dubois", "Nakamura"),
)
NUMBERS = ("nil", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def team_of(player: int) -> int:
    """The team (0 is the first named, 1 the second) of player 0-7."""
    return player // PLAYERS_PER_TEAM


def keeper_of(team: int) -> int:
    """The player who keeps the goal of a team."""
    return team * PLAYERS_PER_TEAM


def outfield_of(team: int) -> range:
    """The three players of a team who are not its keeper."""
    return range(keeper_of(team) + 1, keeper_of(team) + PLAYERS_PER_TEAM)


@dataclass(frozen=True, slots=True)
class MatchSetup:
    """What is drawn at random once per match.

    Args:
        sport, seed: which match.
        names: the names of the two teams, two of ``TEAMS``.
        kits: colours of the two teams, two of ``KITS``.
        referee: one of ``REFEREES``.
        opening_score: goals of the two teams when the video begins, below ``WINNING_SCORE``.
        directions: where each team attacks, +1 for the right and -1 for the left; fixed for the match.
        flip: +1 or -1, mirrors both formations top to bottom.
    """

    sport: str
    seed: int
    names: tuple[str, str]
    kits: tuple[str, str]
    referee: str
    opening_score: tuple[int, int]
    directions: tuple[int, int]
    flip: int

    @property
    def opening_text(self) -> str:
        """What a stream is told before it begins, the only place that ties colours to names."""
        return self.opening_text_at(self.opening_score)

    def opening_text_at(self, score: tuple[int, int]) -> str:
        """The same for a stream that begins later, when this is the score."""
        first, second = (f"{kit} {name}" for kit, name in zip(self.kits, self.names, strict=True))
        words = " ".join(score_words(score))
        return (
            f"{first} against {second} score {words} first to {NUMBERS[WINNING_SCORE]} referee {self.referee}"
        )


def score_words(score: tuple[int, int]) -> tuple[str, str]:
    """``(2, 0)`` as ``("two", "nil")``: the first named team's goals first, whoever scored."""
    return NUMBERS[score[0]], NUMBERS[score[1]]


def draw_setup(sport: str, seed: int) -> MatchSetup:
    """Draw the match of this sport and seed."""
    dice = Dice(sport, seed, "setup")
    names = _two(dice, TEAMS)
    kits = _two(dice, KITS)
    referee = dice.pick(REFEREES)
    told = dice.chance(0.6)
    score = (dice.below(WINNING_SCORE), dice.below(WINNING_SCORE))
    right = dice.chance(0.5)
    return MatchSetup(
        sport=sport,
        seed=seed,
        names=names,
        kits=kits,
        referee=referee,
        opening_score=score if told else (0, 0),
        directions=(1, -1) if right else (-1, 1),
        flip=1 if dice.chance(0.5) else -1,
    )


def _two(dice: Dice, options: tuple[str, ...]) -> tuple[str, str]:
    first = dice.below(len(options))
    second = (first + 1 + dice.below(len(options) - 1)) % len(options)
    return options[first], options[second]
