"""The arena: a synthetic sport with known truth, for a model that fits on any laptop.

``address`` names a match, ``setup`` and ``script`` play it, ``timeline`` says where everything is at
any time, ``render`` draws it, ``narrate`` and ``truth`` say what must be spoken, ``asking`` what can be
asked and what is right, and ``source`` hands it to a stream like any other video. docs/arena.md describes
the world. No torch anywhere.
"""
