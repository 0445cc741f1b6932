"""Bar charts as SVG: a bar for each contender up to its median, with a line from the fastest to the slowest round."""
import html

WIDTH, LEFT, RIGHT, ROW, TOP = 860, 270, 110, 30, 48
OWN, OTHER = "#2f6fb2", "#9aa5b1"


def drawn(title, unit, rows):
    """`rows` are (name, values); those of this program are marked by their colour."""
    rows = [(name, sorted(values)) for name, values in rows if values]
    most = max(values[-1] for _, values in rows)
    scale = (WIDTH - LEFT - RIGHT) / most if most else 0
    height = TOP + ROW * len(rows) + 12
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        '<g font-family="DejaVu Sans, Helvetica, Arial, sans-serif" font-size="14" fill="#22272e">',
        f'<text x="16" y="26" font-size="16" font-weight="bold">{html.escape(title)}</text>',
        f'<text x="{WIDTH - 16}" y="26" text-anchor="end" fill="#57606a">{html.escape(unit)}, less is better</text>',
    ]
    for number, (name, values) in enumerate(rows):
        y, middle = TOP + ROW * number, values[len(values) // 2]
        colour = OWN if name.startswith("remaster") else OTHER
        out += [
            f'<text x="{LEFT - 10}" y="{y + 16}" text-anchor="end">{html.escape(name)}</text>',
            f'<rect x="{LEFT}" y="{y + 3}" width="{max(middle * scale, 1):.1f}" height="18" fill="{colour}"/>',
            f'<path d="M{LEFT + values[0] * scale:.1f} {y + 12}H{LEFT + values[-1] * scale:.1f}" stroke="#22272e" stroke-width="1.5"/>',
            f'<text x="{LEFT + values[-1] * scale + 8:.1f}" y="{y + 17}">{short(middle)}</text>',
        ]
    return "\n".join([*out, "</g>", "</svg>", ""])


def short(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
