"""A disk that, when booted, fills the screen with one colour and writes a name on it: 512 bytes of machine code.

It makes a console recognisable: a screenshot of a viewer shows the virtual machine that it is connected to.
"""

SIZE = 512
DISK_SIZE = 1 << 20
ORIGIN = 0x7C00
CLOCK = 1193182  # hertz of the timer
COLOUR, TEXT_COLOUR = 1, 15  # palette entries; 1 is redefined, 15 is white

COLOURS = {
    "blue": (0, 0, 170),
    "brown": (130, 80, 20),
    "cyan": (0, 150, 150),
    "green": (0, 130, 0),
    "magenta": (150, 0, 150),
    "red": (190, 0, 0),
}


def shown(rgb):
    """Return the colour as QEMU shows it: VGA keeps six bits of each part, and repeats the lowest one below."""
    return tuple((value & 0xFC) | (3 if value & 4 else 0) for value in rgb)


def disk(name, rgb, tone=None):
    """Return a disk with that boot sector, large enough for the BIOS."""
    return sector(name, rgb, tone).ljust(DISK_SIZE, b"\0")


def sector(name, rgb, tone=None):
    """Return a boot sector that shows ``name`` in white on a colour, and sounds a tone of the given hertz."""
    code = bytes.fromhex("fa 31c0 8ed8 8ec0 fc")  # cli; xor ax,ax; mov ds,ax; mov es,ax; cld
    code += bytes.fromhex("b81300 cd10")  # mode 0x13: 320x200, 256 colours
    code += _palette(rgb)
    code += bytes.fromhex("b800a0 8ec0 31ff b900fa b0") + bytes([COLOUR])  # es=0xa000; di=0; cx=64000; al=colour
    code += bytes.fromhex("f3aa")  # rep stosb
    code += _sound(tone) if tone else b""
    column = max(0, (40 - len(name)) // 2)
    code += bytes.fromhex("b402 30ff b60c b2") + bytes([column]) + bytes.fromhex("cd10")  # cursor to row 12, column
    code += _print(ORIGIN + len(code))
    code += name.encode("ascii", "replace") + b"\0"
    if len(code) > SIZE - 2:
        raise ValueError(f"name of {len(name)} characters does not fit into a boot sector")
    return code.ljust(SIZE - 2, b"\0") + b"\x55\xaa"


def _palette(rgb):
    code = bytes.fromhex("bac803 b0") + bytes([COLOUR]) + bytes.fromhex("ee 42")  # out 0x3c8, entry; dx=0x3c9
    for value in rgb:
        code += bytes([0xB0, value >> 2, 0xEE])  # mov al,value; out dx,al
    return code


def _sound(tone):
    # The timer's third counter as a square wave: out 0x43,0xb6; out 0x42,low; out 0x42,high. The speaker takes it.
    low, high = (CLOCK // tone).to_bytes(2, "little")
    code = bytes([0xB0, 0xB6, 0xE6, 0x43, 0xB0, low, 0xE6, 0x42, 0xB0, high, 0xE6, 0x42])
    return code + bytes.fromhex("e461 0c03 e661")  # in al,0x61; or al,3; out 0x61,al


def _print(start):
    # next: lodsb; test al,al; jz end; teletype al; jmp next; end: hlt; jmp end
    loop = bytes.fromhex("ac 84c0 740a b40e b700 b3") + bytes([TEXT_COLOUR]) + bytes.fromhex("cd10 ebf1 f4 ebfd")
    text = start + 3 + len(loop)
    return bytes([0xBE]) + text.to_bytes(2, "little") + loop  # mov si,text
