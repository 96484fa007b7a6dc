"""Makes odd bytes of good ones.

Run as a script, ``odd.py SEED PROGRAM ARGUMENT..``, it is a program whose output is odd. It does what it does as ever,
and some of its calls are answered as they should be.
"""

import random
import subprocess
import sys

WORDS = (
    *(
        b"\xfc",
        b"\xff\xfe",
        b"\0",
        b"\n",
        b"\\\n",
        b"\x1b[2J",
        b"{",
        b"}",
        b'"',
        b",",
        b":",
        b"=",
        b"!",
        b"#",
        b"%",
        b"@",
    ),
    *(b"*", b"null", b"true", b"[]", b"-1", b"0", b"99999999999999999999", b"1e999"),
    *(b"ALL", b"root", b"myself", b"accept", b"drop"),
)


def odd(dice, content):
    """Return bytes of which some are gone, twice there or something else, or from somewhere on all are gone."""
    for _ in range(dice.randint(1, 4)):
        start = dice.randint(0, len(content))
        end = min(len(content), start + dice.choice((1, 2, 8, 40, 300)))
        part = content[start:end]
        how = dice.choice(("cut", "gone", "twice", "word", "word", "inserted"))
        if how == "cut":
            content = content[:start]
        else:
            word = dice.choice(WORDS)
            put = {"gone": b"", "twice": part * 2, "word": word, "inserted": word + part}[how]
            content = content[:start] + put + content[end:]
    return content


def main():
    """Run the program."""
    seed, *command = sys.argv[1:]
    done = subprocess.run(command, stdin=sys.stdin, stdout=subprocess.PIPE, check=False)
    dice = random.Random(f"{seed} {command}")  # noqa: S311 - no secret
    sys.stdout.buffer.write(done.stdout if dice.random() < 0.4 else odd(dice, done.stdout))
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
