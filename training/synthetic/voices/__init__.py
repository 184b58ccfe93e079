"""Speech synthesizers, and speakers made from their voices."""

SAMPLE_RATE = 16_000  # Hz, of everything that is spoken
