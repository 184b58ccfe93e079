"""Random scores of short pieces of music, and the MagnaTagATune tags that describe them."""

from collections.abc import Callable
from itertools import pairwise
from math import ceil
from typing import NamedTuple

import numpy as np

CLIP_SECONDS = 29.3
BEATS_PER_BAR = 4
TEMPOS = {"slow": (46, 60), "middle": (92, 112), "fast": (156, 184)}  # beats per minute
LEVELS = {"quiet": (-38, -32), "middle": (-26, -20), "loud": (-14, -12)}  # RMS of the clip in dBFS


class Instrument(NamedTuple):
    programs: tuple[int, ...]  # General MIDI programs, counted from 0, or drum kits
    low: int = 0  # lowest MIDI key; 60 is middle C
    high: int = 127
    is_gentle: bool = False
    is_electronic: bool = False
    is_drums: bool = False


INSTRUMENTS = {
    "banjo": Instrument((105,), 50, 74),
    "bass": Instrument((32, 33, 34, 35), 28, 45),
    "brushes": Instrument((40,), is_drums=True),
    "cello": Instrument((42,), 36, 57, is_gentle=True),
    "choir": Instrument((52, 53), 50, 74, is_gentle=True),
    "drum kit": Instrument((0, 8, 16), is_drums=True),
    "drum machine": Instrument((24, 25), is_drums=True, is_electronic=True),
    "electric guitar": Instrument((29, 30), 40, 69),
    "flute": Instrument((73, 75, 77), 64, 91, is_gentle=True),
    "guitar": Instrument((24, 25), 43, 74, is_gentle=True),
    "hand drums": Instrument((0, 8), is_drums=True),
    "harmonium": Instrument((20,), 43, 67),
    "harp": Instrument((46,), 45, 84, is_gentle=True),
    "harpsichord": Instrument((6,), 41, 81),
    "piano": Instrument((0, 1, 2), 43, 86, is_gentle=True),
    "sitar": Instrument((104,), 45, 74),
    "string section": Instrument((48, 49), 48, 81, is_gentle=True),
    "synth bass": Instrument((38, 39), 28, 45, is_electronic=True),
    "synth bells": Instrument((88, 98, 99), 60, 84, is_gentle=True, is_electronic=True),
    "synth lead": Instrument((80, 81, 84, 86, 87), 48, 79, is_electronic=True),
    "synth pad": Instrument((89, 90, 91, 92, 94, 95), 45, 74, is_gentle=True, is_electronic=True),
    "violin": Instrument((40,), 57, 88, is_gentle=True),
}


class Note(NamedTuple):
    start: float  # in beats while composing, in seconds in a score
    end: float
    key: int
    velocity: int


class Part(NamedTuple):
    instrument: str
    program: int
    notes: list[Note]


class Score(NamedTuple):
    genre: str
    tempo: float  # beats per minute
    level: float  # RMS, in dBFS
    parts: list[Part]  # one per instrument


# Tags


def _genre(name: str) -> Callable[[Score], bool]:
    return lambda score: score.genre == name


def _plays(*instruments: str) -> Callable[[Score], bool]:
    return lambda score: any(part.instrument in instruments for part in score.parts)


def _within(ranges: dict[str, tuple[float, float]], name: str, field: str) -> Callable[[Score], bool]:
    low, high = ranges[name]
    return lambda score: low <= getattr(score, field) <= high


_is_quiet = _within(LEVELS, "quiet", "level")

TAG_RULES = {
    "ambient": _genre("ambient"),
    "beat": _plays("drum kit", "drum machine"),  # with a bass drum
    "cello": _plays("cello"),
    "choir": _plays("choir"),
    "classical": _genre("classical"),
    "country": _genre("country"),
    "drums": _plays("brushes", "drum kit", "drum machine", "hand drums"),
    "electronic": lambda score: all(INSTRUMENTS[part.instrument].is_electronic for part in score.parts),
    "fast": _within(TEMPOS, "fast", "tempo"),
    "flute": _plays("flute"),
    "guitar": _plays("electric guitar", "guitar"),
    "harp": _plays("harp"),
    "harpsichord": _plays("harpsichord"),
    "indian": _genre("indian"),
    "loud": _within(LEVELS, "loud", "level"),
    "piano": _plays("piano"),
    "quiet": _is_quiet,
    "rock": _genre("rock"),
    "sitar": _plays("sitar"),
    "slow": _within(TEMPOS, "slow", "tempo"),
    "soft": lambda score: _is_quiet(score) and all(INSTRUMENTS[part.instrument].is_gentle for part in score.parts),
    "solo": lambda score: len(score.parts) == 1,
    "strings": _plays("cello", "string section", "violin"),
    "synth": _plays("synth bass", "synth bells", "synth lead", "synth pad"),
    "techno": _genre("techno"),
    "violin": _plays("violin"),
}


def true_tags(score: Score) -> set[str]:
    """The tags that describe `score`."""
    return {tag for tag, is_true in TAG_RULES.items() if is_true(score)}


# Harmony


class Genre(NamedTuple):
    tempos: tuple[str, ...]  # keys of TEMPOS
    scales: tuple[tuple[int, ...], ...]  # degrees 0-6 in semitones above the tonic
    progressions: tuple[tuple[int, ...], ...]  # root of each bar's chord as a degree, repeated


MAJOR, MINOR, DORIAN = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 3, 5, 7, 9, 10)
BHAIRAV, MIXOLYDIAN = (0, 1, 4, 5, 7, 8, 11), (0, 2, 4, 5, 7, 9, 10)
CHANGES = ((0, 4, 5, 3), (0, 3, 4, 0), (0, 5, 3, 4), (0, 5, 1, 4), (0, 0, 3, 4), (5, 3, 0, 4), (0, 2, 3, 4))
TONIC_ONLY = ((0,),)
ANY_TEMPO = tuple(TEMPOS)

GENRES = {
    "ambient": Genre(("slow", "middle"), (MAJOR, DORIAN, MINOR), CHANGES),
    "classical": Genre(ANY_TEMPO, (MAJOR, MINOR), CHANGES),
    "country": Genre(ANY_TEMPO, (MAJOR, MIXOLYDIAN), CHANGES),
    "folk": Genre(ANY_TEMPO, (MAJOR, MINOR, DORIAN), CHANGES),
    "indian": Genre(ANY_TEMPO, (BHAIRAV, DORIAN, MIXOLYDIAN), TONIC_ONLY),
    "rock": Genre(ANY_TEMPO, (MINOR, MIXOLYDIAN, DORIAN), CHANGES),
    "techno": Genre(("middle", "fast"), (MINOR, DORIAN), CHANGES),
}


class Harmony(NamedTuple):
    tonic: int  # MIDI key of degree 0
    scale: tuple[int, ...]
    roots: list[int]  # one per bar

    def key(self, degree: int) -> int:
        octave, step = divmod(degree, 7)
        return self.tonic + 12 * octave + self.scale[step]


def _draw_harmony(rng: np.random.Generator, genre: Genre, num_bars: int) -> Harmony:
    progression = _pick(rng, genre.progressions)
    roots = [progression[bar % len(progression)] for bar in range(num_bars)]
    return Harmony(60 + int(rng.integers(-6, 6)), _pick(rng, genre.scales), roots)


# Roles: the notes that an instrument plays, in beats

Role = Callable[[np.random.Generator, Harmony, Instrument], list[Note]]
Figure = list[tuple[float, float, tuple[int, ...]]]  # (beat, length, degrees above the chord's root, or drum keys)

RHYTHMS = ((1, 1, 1, 1), (1, 0.5, 0.5, 1, 1), (1.5, 0.5, 1, 1), (0.5, 0.5, 1, 0.5, 0.5, 1), (1, 1, 0.5, 0.5, 1))
STRUMS = ((0, 1, 2, 3), (0, 1.5, 2, 3.5), (0, 1, 1.5, 2, 3, 3.5), (0, 2, 2.5, 3))
ARPEGGIOS = (
    (0, 2, 4, 7, 4, 2, 4, 2),
    (0, 4, 2, 4, 0, 4, 2, 4),
    (0, 2, 4, 7, 9, 7, 4, 2),
    (7, 4, 2, 0, 2, 4, 7, 4),
)
BASS_LINES = ((0, 4), (0, 0, 4, 4), (0, 2, 4, 2), (0, 0, 0, 0, 4, 4, 4, 4))
EIGHTHS, SIXTEENTHS = tuple(i / 2 for i in range(8)), tuple(i / 4 for i in range(16))
BASS_DRUM, SNARE, CLAP, CLOSED_HAT, OPEN_HAT = 36, 38, 39, 42, 46
HIGH_BONGO, LOW_BONGO, MUTE_CONGA, LOW_CONGA = 60, 61, 62, 64


def melody(rng: np.random.Generator, harmony: Harmony, instrument: Instrument) -> list[Note]:
    """Random walk along the scale, around a random key; half bars start with a note of the chord."""
    rhythms = [_pick(rng, RHYTHMS) for _ in range(4)]
    middle = rng.uniform(instrument.low + 8, instrument.high - 8)
    home = degree = round((middle - harmony.tonic) * 7 / 12)
    notes = []
    for bar, root in enumerate(harmony.roots):
        beat = BEATS_PER_BAR * bar
        for length in rhythms[bar % len(rhythms)]:
            degree += _pick(rng, (-2, -1, 1, 2)) if abs(degree - home) < 5 else int(np.sign(home - degree))
            if beat % 2 == 0:
                degree += {1: -1, 3: -1, 5: -1, 6: 1}.get((degree - root) % 7, 0)
            key = _into_range(harmony.key(degree), instrument)
            notes.append(Note(beat, beat + length, key, _draw_velocity(rng, 105)))
            beat += length
    return notes


def _every_bar(draw_figure: Callable[[np.random.Generator], Figure]) -> Role:
    """Role with a figure that is drawn once and repeated in each bar."""

    def role(rng: np.random.Generator, harmony: Harmony, instrument: Instrument) -> list[Note]:
        figure = draw_figure(rng)
        notes = []
        for bar, root in enumerate(harmony.roots):
            for beat, length, degrees in figure:
                start = BEATS_PER_BAR * bar + beat
                for degree in degrees:
                    key = degree if instrument.is_drums else _into_range(harmony.key(root + degree), instrument)
                    notes.append(Note(start, start + length, key, _draw_velocity(rng, 80)))
        return notes

    return role


@_every_bar
def held(rng):
    return [(0, 4, (0, 2, 4))]


@_every_bar
def drone(rng):
    return [(0, 2, (-7, -3)), (2, 2, (-7, 0))]


@_every_bar
def strummed(rng):
    return [(beat, after - beat, (0, 2, 4)) for beat, after in pairwise((*_pick(rng, STRUMS), BEATS_PER_BAR))]


@_every_bar
def power_chords(rng):
    return [(beat, 0.5, (0, 4, 7)) for beat in EIGHTHS]


@_every_bar
def arpeggio(rng):
    return [(beat, 1, (degree,)) for beat, degree in zip(EIGHTHS, _pick(rng, ARPEGGIOS), strict=True)]


@_every_bar
def sequence(rng):
    return [(beat, 0.5, (_pick(rng, (0, 2, 4, 7)),)) for beat in SIXTEENTHS]


@_every_bar
def bass_line(rng):
    degrees = _pick(rng, BASS_LINES)
    length = BEATS_PER_BAR / len(degrees)
    return [(i * length, length, (degree,)) for i, degree in enumerate(degrees)]


@_every_bar
def backbeat(rng):
    kicks = _pick(rng, ((0, 2), (0, 2, 2.5), (0, 1.5, 2)))
    return _hits(BASS_DRUM, kicks) + _hits(SNARE, (1, 3)) + _hits(CLOSED_HAT, EIGHTHS)


@_every_bar
def four_on_the_floor(rng):
    hats = _hits(CLOSED_HAT, SIXTEENTHS) + _hits(OPEN_HAT, (0.5, 1.5, 2.5, 3.5))
    return _hits(BASS_DRUM, (0, 1, 2, 3)) + _hits(_pick(rng, (SNARE, CLAP)), (1, 3)) + hats


@_every_bar
def train_beat(rng):
    return _hits(SNARE, EIGHTHS) + _hits(CLOSED_HAT, (1, 3))


@_every_bar
def tala(rng):
    strokes = [(beat, 0.25, (_pick(rng, (HIGH_BONGO, LOW_BONGO, MUTE_CONGA)),)) for beat in EIGHTHS]
    return _hits(LOW_CONGA, (0, 2)) + strokes


def _hits(drum: int, beats: tuple[float, ...]) -> Figure:
    return [(beat, 0.25, (drum,)) for beat in beats]


def _into_range(key: int, instrument: Instrument) -> int:
    """Transpose `key` by octaves into the range of the instrument."""
    while key < instrument.low:
        key += 12
    while key > instrument.high:
        key -= 12
    return key


def _draw_velocity(rng: np.random.Generator, mean: int) -> int:
    return mean + int(rng.integers(-12, 13))


def _pick(rng: np.random.Generator, options: tuple):
    return options[rng.integers(len(options))]


# Pieces


class LineUp(NamedTuple):
    genre: str
    parts: dict[str, tuple[Role, ...]]  # roles of each instrument


LINE_UPS = (
    LineUp("classical", {"piano": (melody, arpeggio)}),
    LineUp("rock", {"electric guitar": (melody, power_chords), "bass": (bass_line,), "drum kit": (backbeat,)}),
    LineUp("ambient", {"synth pad": (held,), "synth bells": (melody,)}),
    LineUp("classical", {"violin": (melody,), "cello": (bass_line,), "piano": (arpeggio,)}),
    LineUp("indian", {"sitar": (melody, drone)}),
    LineUp("classical", {"harp": (arpeggio,), "flute": (melody,)}),
    LineUp("techno", {"synth lead": (sequence,), "synth bass": (bass_line,), "drum machine": (four_on_the_floor,)}),
    LineUp("folk", {"guitar": (melody, arpeggio)}),
    LineUp("country", {"banjo": (arpeggio,), "guitar": (strummed,), "bass": (bass_line,), "brushes": (train_beat,)}),
    LineUp("classical", {"harpsichord": (melody, arpeggio)}),
    LineUp("classical", {"choir": (melody, held), "string section": (strummed,), "harp": (arpeggio,)}),
    LineUp("techno", {"piano": (strummed,), "synth bass": (bass_line,), "drum machine": (four_on_the_floor,)}),
    LineUp("classical", {"violin": (melody,)}),
    LineUp("indian", {"sitar": (melody,), "harmonium": (drone,), "hand drums": (tala,)}),
    LineUp("ambient", {"synth pad": (held,), "choir": (melody, held)}),
    LineUp("country", {"violin": (melody,), "guitar": (strummed,), "bass": (bass_line,), "brushes": (train_beat,)}),
    LineUp("classical", {"flute": (melody,), "harpsichord": (arpeggio,), "cello": (bass_line,)}),
    LineUp("rock", {"sitar": (melody,), "electric guitar": (power_chords,), "drum kit": (backbeat,)}),  # raga rock
)


def compose(line_up: LineUp, loudness: str, rng: np.random.Generator) -> Score:
    """Compose a random piece for `line_up`, at least as long as a clip; `loudness` is a key of `LEVELS`."""
    genre = GENRES[line_up.genre]
    tempo = rng.uniform(*TEMPOS[_pick(rng, genre.tempos)])
    harmony = _draw_harmony(rng, genre, num_bars=ceil(CLIP_SECONDS * tempo / 60 / BEATS_PER_BAR))
    parts = []
    for name, roles in line_up.parts.items():
        notes = [note for role in roles for note in role(rng, harmony, INSTRUMENTS[name])]
        in_seconds = [note._replace(start=note.start * 60 / tempo, end=note.end * 60 / tempo) for note in notes]
        parts.append(Part(name, _pick(rng, INSTRUMENTS[name].programs), in_seconds))
    return Score(line_up.genre, tempo, rng.uniform(*LEVELS[loudness]), parts)
