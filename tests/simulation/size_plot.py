# SPDX-License-Identifier: Apache-2.0
"""simulation_size | size_plot.py FILE.svg: the table goes through, and its plot into the file. Both axes are logarithmic."""
import math
import sys

COLUMNS = {"verdict": 4, "told": 5, "rebuilt": 6, "work": 11, "frames": 12, "bytes": 13}
FORMS = {"direct": "#b03a2e", "one agent a host": "#1f618d"}
PANELS = [
    ("from the death of one rank, ms", [("rebuilt", "", "until a spare is in"), ("told", "6 4", "until all know"),
                                        ("verdict", "2 3", "until the verdict")]),
    ("what that costs the coordinator for each rank", [("bytes", "", "bytes"), ("work", "6 4", "us of its thread"),
                                                       ("frames", "2 3", "frames")]),
]
WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 420, 300, 56, 34, 14, 64


def rows(lines):
    for line in lines:
        print(line, end="", flush=True)
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if cells[0].isdigit() and cells[12]:
            yield {"ranks": int(cells[0]), "form": cells[2],
                   **{name: float(cells[at]) for name, at in COLUMNS.items()}}


def cumulated(table):
    """The table says how long each part takes; the plot, when it is over."""
    for row in table:
        row["told"] += row["verdict"]
        row["rebuilt"] += row["told"]
    return table


def decades(values):
    return math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))


def panel(table, title, curves, offset):
    first, last = decades([row["ranks"] for row in table])
    low, high = decades([row[name] for row in table for name, _, _ in curves])

    def x(ranks):
        return offset + LEFT + (math.log10(ranks) - first) / (last - first) * (WIDTH - LEFT - RIGHT)

    def y(value):
        return HEIGHT - BOTTOM - (math.log10(value) - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    out = [f'<text x="{offset + LEFT}" y="18" class="title">{title}</text>']
    for decade in range(low, high + 1):
        at = y(10 ** decade)
        out.append(f'<path d="M{offset + LEFT} {at:.1f}H{offset + WIDTH - RIGHT}" class="grid"/>')
        out.append(f'<text x="{offset + LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{10 ** decade:g}</text>')
    for decade in range(first, last + 1):
        at = x(10 ** decade)
        out.append(f'<path d="M{at:.1f} {TOP}V{HEIGHT - BOTTOM}" class="grid"/>')
        out.append(f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{10 ** decade:g}</text>')
    for name, dash, label in curves:
        for form, colour in FORMS.items():
            points = [(x(row["ranks"]), y(row[name])) for row in table if row["form"] == form]
            path = "M" + "L".join(f"{px:.1f} {py:.1f}" for px, py in points)
            out.append(f'<path d="{path}" stroke="{colour}" stroke-dasharray="{dash}" class="curve"/>')
            out += [f'<circle cx="{px:.1f}" cy="{py:.1f}" r="2.5" fill="{colour}"/>' for px, py in points]
    for at, (_, dash, label) in enumerate(curves):
        left = offset + LEFT - 40 + at * 138
        out.append(f'<path d="M{left} {HEIGHT - 30}h26" stroke="#444" stroke-dasharray="{dash}" class="curve"/>')
        out.append(f'<text x="{left + 32}" y="{HEIGHT - 26}">{label}</text>')
    return out


def main():
    table = cumulated(list(rows(sys.stdin)))
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * WIDTH} {HEIGHT}" font-family="sans-serif" '
           'font-size="11">',
           "<style>.grid{stroke:#ddd}.curve{fill:none;stroke-width:1.6}.title{font-size:13px}</style>",
           f'<rect width="{2 * WIDTH}" height="{HEIGHT}" fill="#fff"/>']
    for at, (title, curves) in enumerate(PANELS):
        out += panel(table, title, curves, at * WIDTH)
    for at, (form, colour) in enumerate(FORMS.items()):
        left = LEFT + at * 130
        out.append(f'<circle cx="{left}" cy="{HEIGHT - 10}" r="3" fill="{colour}"/>')
        out.append(f'<text x="{left + 8}" y="{HEIGHT - 6}">{form}</text>')
    out.append(f'<text x="{LEFT + 270}" y="{HEIGHT - 6}">ranks, 8 a host (horizontal axis)</text>')
    with open(sys.argv[1], "w", encoding="ascii") as file:
        file.write("\n".join(out + ["</svg>"]) + "\n")


main()
