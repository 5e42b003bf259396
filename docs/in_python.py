"""An event study from Python, as in a notebook: frames in polars, charts as matplotlib figures, the memo as bytes.

python docs/in_python.py [FOLDER]      # runs offline on the prices in fixtures/; writes into FOLDER if one is given
"""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

from engine import load_study, run_study
from engine.report import answer, draw_chart, memo_files, render_chart

ROOT = Path(__file__).resolve().parents[1]

# 1. Run. A study is a folder with study.toml and a calendar; the result is a dictionary of frames and a manifest.
result = run_study(load_study(ROOT / "studies" / "us-acquirers"))
print(answer(result))

# 2. Frames. The mean CAR of stock-paid deals, once by the engine's table and once by hand.
cars = result.tables["cars"].filter(pl.col("window_start") == -1, pl.col("window_end") == 1)
by_hand = cars.group_by("consideration").agg(pl.len().alias("n"), pl.col("car").mean()).sort("consideration")
print(by_hand)
tested = result.tables["significance"].filter(
    pl.col("group") == "consideration=stock", pl.col("window_start") == -1, pl.col("window_end") == 1
)
print(tested.select("test", "n", "estimate", "statistic", "p_value"))

# 3. Figures. A matplotlib Figure: the last line of a cell shows it; change what you like before you save it.
figure = draw_chart(result, "caar_path")
axes = figure.axes[0]
axes.set_ylim(-0.1, 0.03)

# 4. Files. The memo in any format, a chart in any of png, svg and pdf.
if len(sys.argv) > 1:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for path, data in memo_files(result, ["html", "xlsx"]).items():
        (folder / path).write_bytes(data)
    (folder / "car_heatmap.svg").write_bytes(render_chart(result, "car_heatmap", "svg"))
    figure.savefig(folder / "caar_path.png", dpi=200)
    print(f"wrote {len(list(folder.iterdir()))} files to {folder}")
