"""The sounds of DCASE 2017 task 4, synthesized from oscillators, pulses, noise and filters.

Each sound is a function (rng, num_samples) -> float64 (samples,), at any level. Its variable properties (pitch, tempo,
timbre) are drawn from `rng`. Frequencies are in Hz, times in seconds.
"""

import numpy as np
from scipy import signal

SAMPLE_RATE = 44_100  # Hz
WAVETABLE_SIZE = 16_384  # samples per period
SPEED_OF_SOUND = 343.0  # m/s


def make_sound(label: str, rng: np.random.Generator, num_samples: int) -> np.ndarray:
    """Synthesize a label of DCASE 2017 task 4: float64 (samples,) at `SAMPLE_RATE`, without DC, with a peak of 1."""
    sound = _filter(SOUNDS[label](rng, num_samples), "highpass", 30)
    sound -= sound.mean()
    return sound / np.abs(sound).max()


# Building blocks


def _seconds(num_samples):
    return np.arange(num_samples) / SAMPLE_RATE


def _tone(frequency, num_harmonics, slope=1.0):
    """Periodic sound with the given frequency (samples,); harmonic k has the amplitude k**-slope."""
    points, harmonics = np.arange(WAVETABLE_SIZE) / WAVETABLE_SIZE, np.arange(1.0, num_harmonics + 1)
    period = np.sum(np.sin(2 * np.pi * np.outer(points, harmonics)) * harmonics**-slope, axis=1)
    phase = np.cumsum(frequency) / SAMPLE_RATE % 1
    return period[(phase * WAVETABLE_SIZE).astype(int)]


def _filter(sound, kind, cutoff):
    """Second-order Butterworth filter: "lowpass" or "highpass" with one cutoff, "bandpass" with two."""
    return signal.sosfilt(signal.butter(2, cutoff, kind, fs=SAMPLE_RATE, output="sos"), sound)


def _noise(rng, num_samples, low, high):
    """Band-limited noise with an RMS of 1."""
    return unit(_filter(rng.standard_normal(num_samples), "bandpass", (low, high)))


def _ring(sound, frequency, decay):
    """Resonator: rings at `frequency` and decays to 1/e after `decay`."""
    angle, radius = 2 * np.pi * frequency / SAMPLE_RATE, np.exp(-1 / (decay * SAMPLE_RATE))
    return signal.lfilter([np.sin(angle)], [1, -2 * radius * np.cos(angle), radius**2], sound)


def _fade(pulses, decay):
    """Envelope (samples,): each pulse adds its amplitude, which decays to 1/e after `decay`."""
    return signal.lfilter([1], [1, -np.exp(-1 / (decay * SAMPLE_RATE))], pulses)


def _ticks(rng, num_samples, interval, jitter):
    """Single-sample pulses of random amplitude, about every `interval`, with a relative `jitter`."""
    gaps = interval * rng.uniform(1 - jitter, 1 + jitter, int(num_samples / SAMPLE_RATE / interval / (1 - jitter)) + 2)
    places = ((np.cumsum(gaps) - rng.random() * gaps[0]) * SAMPLE_RATE).astype(int)
    places = places[places < num_samples]
    ticks = np.zeros(num_samples)
    ticks[places] = rng.uniform(0.4, 1, len(places))
    return ticks


def _blasts(rng, num_samples, on, off, attack=0.02, release=0.05):
    """On-off envelope (samples,) with soft edges; the durations are drawn from the ranges `on` and `off`."""
    times, levels, now = [], [], 0.0
    while now < num_samples / SAMPLE_RATE:
        end = now + attack + rng.uniform(*on)
        times += [now, now + attack, end, end + release]
        levels += [0, 1, 1, 0]
        now = end + release + rng.uniform(*off)
    return np.interp(_seconds(num_samples), times, levels)


def wander(rng, num_samples, low, high, every):
    """Piecewise linear curve (samples,) through random values between `low` and `high`."""
    times = np.arange(0, num_samples / SAMPLE_RATE + 2 * every, every)
    return np.interp(_seconds(num_samples), times, rng.uniform(low, high, len(times)))


def unit(sound):
    """Scale `sound` to an RMS of 1; silence is unchanged."""
    return sound / (np.sqrt(np.mean(sound**2)) + 1e-12)


# Horns and signals


def _horn(rng, pitches, envelope, brightness):
    """Several reeds at once; each is slightly flat during the attack."""
    reeds = [
        rng.uniform(0.6, 1) * _tone(pitch * rng.uniform(0.99, 1.01) * (0.94 + 0.06 * envelope), 24, slope=0.6)
        for pitch in pitches
    ]
    return _filter(sum(reeds) * envelope, "bandpass", (100, brightness))


def train_horn(rng, num_samples):
    """Three to five reeds of a locomotive horn, with long and short blasts."""
    chord = np.array([311, 370, 415, 494, 622]) * rng.uniform(0.85, 1.15)
    reeds = rng.choice(chord, rng.integers(3, 6), replace=False)
    pulls = _blasts(rng, num_samples, on=(0.8, 3), off=(0.2, 0.6), attack=0.15, release=0.2)
    return _horn(rng, reeds, pulls, rng.uniform(2000, 4000))


def air_horn(rng, num_samples):
    """Two low trumpets, a third apart."""
    low = rng.uniform(110, 200)
    blasts = _blasts(rng, num_samples, on=(0.4, 2), off=(0.15, 0.4))
    return _horn(rng, [low, low * rng.uniform(1.18, 1.28)], blasts, rng.uniform(2500, 5000))


def car_alarm(rng, num_samples):
    """A high-pitched siren that changes its pattern every one to two seconds."""
    time = _seconds(num_samples)
    patterns = [
        lambda speed: time * speed % 1,  # rising
        lambda speed: -time * speed % 1,  # falling
        lambda speed: time * speed % 1 > 0.5,  # two tones
        lambda speed: 0.5 - 0.5 * np.cos(2 * np.pi * time * speed),  # rising and falling
    ]
    bends = [patterns[i](rng.uniform(4, 12)) for i in rng.permutation(4)]
    turn = (time / rng.uniform(1, 2)).astype(int) % 4
    return _tone(rng.uniform(1400, 2200) * (1 + 0.8 * np.choose(turn, bends)), num_harmonics=5)


def reversing_beeps(rng, num_samples):
    """Regular beeps of one pitch, silent half of the time."""
    half = rng.uniform(0.3, 0.55)
    beeps = _blasts(rng, num_samples, on=(half, half), off=(half, half), attack=0.005, release=0.01)
    return beeps * _tone(np.full(num_samples, rng.uniform(950, 1450)), num_harmonics=3, slope=2)


# Sirens


def _loudspeaker(rng, sound):
    """Horn loudspeaker of an electronic siren: distortion, no bass."""
    return _filter(np.tanh(2 * sound), "bandpass", (rng.uniform(300, 500), rng.uniform(3500, 6000)))


def ambulance(rng, num_samples):
    """Hi-lo: two alternating pitches, a third or a fourth apart."""
    is_high = (_seconds(num_samples) / rng.uniform(0.4, 0.8) + rng.random()) % 2 < 1
    frequency = rng.uniform(420, 620) * np.where(is_high, rng.uniform(1.25, 1.4), 1)
    return _loudspeaker(rng, _tone(frequency, num_harmonics=8))


def police_car(rng, num_samples):
    """Wail (a sweep takes a few seconds) alternating with yelp (about three sweeps per second)."""
    low, high = rng.uniform(550, 750), rng.uniform(1300, 1700)
    is_yelp = (_seconds(num_samples) / rng.uniform(2, 4) + rng.random()) % 2 < 1
    sweeps = np.cumsum(np.where(is_yelp, rng.uniform(2.5, 4), rng.uniform(0.25, 0.45))) / SAMPLE_RATE
    height = 0.5 - 0.5 * np.cos(2 * np.pi * sweeps)
    return _loudspeaker(rng, _tone(low * (high / low) ** height, num_harmonics=8))


def fire_engine(rng, num_samples):
    """A mechanical siren that speeds up and slows down, with blasts of an air horn."""
    octaves = wander(rng, num_samples, 0, 1.3, every=rng.uniform(1.5, 2.5))
    rotor = _tone(rng.uniform(180, 240) * 2**octaves, num_harmonics=16, slope=0.5)
    growl = 1 + 0.5 * _noise(rng, num_samples, 5, 60)
    blasts = _blasts(rng, num_samples, on=(0.3, 0.7), off=(0.4, 1.2))
    horn = _horn(rng, rng.uniform(230, 300) * np.array([1, 1.26]), blasts, brightness=3000)
    return unit(rotor * growl) + rng.uniform(0.7, 1.2) * unit(horn)


def civil_defense_siren(rng, num_samples):
    """Two tones a minor third apart that rise, hold and fall over several seconds."""
    risen, held, fallen = np.cumsum([rng.uniform(2, 4), rng.uniform(4, 8), rng.uniform(2, 4)])
    time = (_seconds(num_samples) + rng.uniform(0, risen)) % fallen
    speed = np.sqrt(np.interp(time, [0, risen, held, fallen], [0.2, 1, 1, 0.2]))
    frequency = rng.uniform(420, 520) * speed
    return speed * (_tone(frequency, 6, slope=1.5) + _tone(1.2 * frequency, 6, slope=1.5))


# People, bicycles and skateboards


def screaming(rng, num_samples):
    """A rough, high-pitched voice through three formants, with short pauses."""
    screams = _blasts(rng, num_samples, on=(0.6, 1.8), off=(0.1, 0.4), attack=0.06, release=0.15)
    pitch = rng.uniform(600, 1100) * wander(rng, num_samples, 0.8, 1.3, every=0.3)
    tremble = _noise(rng, num_samples, 5, 80)
    voice = (1 + 0.4 * tremble) * _tone(pitch * (1 + 0.02 * tremble), num_harmonics=12, slope=0.5)
    voice += 0.3 * rng.standard_normal(num_samples)  # breath
    mouth = rng.uniform(0.9, 1.15)
    formants = ((1100, 0.004, 1.0), (1700, 0.004, 0.8), (3200, 0.002, 0.7))  # frequency, decay, strength
    return screams * sum(strength * unit(_ring(voice, mouth * hz, decay)) for hz, decay, strength in formants)


def bicycle(rng, num_samples):
    """Ticks of the freewheel, a chain that rattles with each turn of the pedals, and a bell."""
    freewheel = _ring(_ticks(rng, num_samples, rng.uniform(0.04, 0.08), jitter=0.05), rng.uniform(4000, 6500), 0.002)
    pushes = np.maximum(np.sin(2 * np.pi * rng.uniform(1.5, 2.5) * _seconds(num_samples)), 0)
    chain = pushes * _ring(rng.standard_normal(num_samples), rng.uniform(2500, 4000), 0.0005)
    strokes = _ticks(rng, num_samples, rng.uniform(0.6, 1.5), jitter=0.8)
    pitch = rng.uniform(1900, 2800)
    bell = sum(_ring(strokes, pitch * ratio, decay) for ratio, decay in ((1, 0.4), (1.52, 0.3), (2.66, 0.2)))
    return 0.6 * freewheel + 0.04 * unit(chain) + rng.uniform(0.1, 0.3) * bell


def skateboard(rng, num_samples):
    """Rolling noise, knocks of both axles at joints in the ground, and occasional pops of the tail."""
    rolling = wander(rng, num_samples, 0.5, 1, every=0.1) * _noise(rng, num_samples, rng.uniform(200, 400), 1800)
    joints = _ticks(rng, num_samples, rng.uniform(0.25, 0.5), jitter=0.1)
    joints += 0.8 * np.roll(joints, int(rng.uniform(0.06, 0.12) * SAMPLE_RATE))
    knock = _ring(joints, rng.uniform(500, 900), 0.006)
    pops = _ticks(rng, num_samples, interval=2.5, jitter=0.4)
    crack = _ring(pops, rng.uniform(900, 1500), 0.01) + _ring(pops, 300, 0.02)
    return 0.15 * unit(rolling) + rng.uniform(0.5, 0.9) * knock + 0.6 * crack


# Vehicles

FOUR_CYLINDERS = np.arange(4) / 4  # phase of the ignition of each cylinder in a cycle of two revolutions
SIX_CYLINDERS = np.arange(6) / 6
V_TWIN = (0, 315 / 720)


def _firings(rng, cycles, moments):
    """A pulse at each ignition: `cycles` (samples,) per second, with ignitions at the phases `moments`."""
    turns = np.cumsum(cycles) / SAMPLE_RATE + rng.random()
    pulses = np.zeros(len(cycles))
    for moment in moments:
        strokes = np.flatnonzero(np.diff(np.floor(turns - moment)))
        pulses[strokes] += rng.uniform(0.7, 1) * rng.uniform(0.8, 1, len(strokes))  # differs between cylinders
    return pulses


def _exhaust(pulses, pipe):
    """Exhaust pipe: a resonance with two overtones."""
    return sum(_ring(pulses, pipe * k, 0.008 / k) / k for k in (1, 2, 3))


def car(rng, num_samples):
    """Four cylinders at an almost constant speed, with fan noise."""
    cycles = rng.uniform(12, 24) * wander(rng, num_samples, 0.97, 1.03, every=1)
    motor = _exhaust(_firings(rng, cycles, FOUR_CYLINDERS), rng.uniform(150, 260))
    return unit(motor) + rng.uniform(0.1, 0.25) * _noise(rng, num_samples, 400, rng.uniform(2000, 4000))


def car_passing_by(rng, num_samples):
    """One or several cars that pass, with the Doppler effect."""
    num_cars = max(1, round(num_samples / SAMPLE_RATE / rng.uniform(3, 5)))
    moments = (np.arange(num_cars) + rng.uniform(0.3, 0.7, num_cars)) / num_cars * num_samples / SAMPLE_RATE
    return sum(_pass_by(rng, num_samples, moment) for moment in moments)


def _pass_by(rng, num_samples, moment):
    """A car that is nearest at `moment`; simulated from one second before, the travel time of its sound."""
    time = _seconds(SAMPLE_RATE + num_samples) - 1
    tires = _noise(rng, len(time), 500, rng.uniform(1500, 3000))
    motor = _tone(np.full(len(time), rng.uniform(90, 180)), num_harmonics=5)
    speed, closest = rng.uniform(15, 28), rng.uniform(4, 10)  # m/s; distance in m
    distance = np.hypot(closest, speed * (time - moment))
    sent = (tires + rng.uniform(0.4, 0.8) * unit(motor)) / distance
    sent_at = np.interp(time[SAMPLE_RATE:], time + distance / SPEED_OF_SOUND, time)  # what arrives after 0 s
    return np.interp(sent_at, time, sent)


def bus(rng, num_samples):
    """A muffled diesel engine, the whine of its gearbox, and the hiss of air brakes."""
    cycles = wander(rng, num_samples, 5, 9, every=rng.uniform(1.5, 3))
    motor = _filter(_exhaust(_firings(rng, cycles, SIX_CYLINDERS), rng.uniform(70, 110)), "lowpass", 300)
    gearbox = _tone(cycles * rng.uniform(60, 90), num_harmonics=2)
    brakes = _fade(_ticks(rng, num_samples, interval=1.75, jitter=0.4), rng.uniform(0.2, 0.4))
    hiss = brakes * _noise(rng, num_samples, rng.uniform(2500, 4000), 16_000)
    return unit(motor) + rng.uniform(0.1, 0.2) * unit(gearbox) + rng.uniform(0.3, 0.5) * unit(hiss)


def truck(rng, num_samples):
    """A large diesel engine that knocks, and a rattling body."""
    cycles = rng.uniform(3, 5) * wander(rng, num_samples, 0.9, 1.1, every=1)
    strokes = _firings(rng, cycles, SIX_CYLINDERS)
    motor = _exhaust(strokes, rng.uniform(45, 75))
    knock = _fade(strokes, 0.01) * _noise(rng, num_samples, 900, rng.uniform(2500, 4000))
    rattle = wander(rng, num_samples, 0, 1, every=0.15) * _ring(knock, rng.uniform(400, 700), 0.006)
    return np.tanh(unit(motor) + rng.uniform(0.4, 0.7) * unit(knock) + rng.uniform(0.2, 0.4) * unit(rattle))


def motorcycle(rng, num_samples):
    """A V-twin engine, with two uneven beats per cycle and a varying speed."""
    cycles = rng.uniform(14, 20) * 2 ** wander(rng, num_samples, 0, 1.5, every=0.5)
    beats = _firings(rng, cycles, V_TWIN)
    bark = _fade(beats, 0.003) + _exhaust(beats, rng.uniform(300, 500))
    return np.tanh(unit(bark)) + 0.05 * rng.standard_normal(num_samples)


def train(rng, num_samples):
    """Rumble, and the clatter of four axles at each joint of the rails."""
    rumble = _noise(rng, num_samples, 40, rng.uniform(150, 250)) + 0.15 * _noise(rng, num_samples, 400, 1200)
    car_length = rng.uniform(0.8, 1.4)  # in seconds
    joints = _ticks(rng, num_samples, car_length, jitter=0.01)
    wheels = sum(np.roll(joints, int(at * car_length * SAMPLE_RATE)) for at in (0, 0.15, 0.5, 0.65))
    clack = _ring(wheels, rng.uniform(250, 450), 0.025) + _ring(wheels, 1600, 0.008)
    return rumble + rng.uniform(1, 1.5) * unit(clack)


SOUNDS = {
    "Train horn": train_horn,
    "Air horn, truck horn": air_horn,
    "Car alarm": car_alarm,
    "Reversing beeps": reversing_beeps,
    "Ambulance (siren)": ambulance,
    "Police car (siren)": police_car,
    "Fire engine, fire truck (siren)": fire_engine,
    "Civil defense siren": civil_defense_siren,
    "Screaming": screaming,
    "Bicycle": bicycle,
    "Skateboard": skateboard,
    "Car": car,
    "Car passing by": car_passing_by,
    "Bus": bus,
    "Truck": truck,
    "Motorcycle": motorcycle,
    "Train": train,
}
