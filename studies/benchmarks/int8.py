"""What int8 was worth in finished searches: how much is kept, how much faster, at what loss.

    python studies/benchmarks/int8.py RUN [RUN ...]

Each RUN is a run folder. A row a target: front models, those of them kept in int8, the geometric
mean of their speed-ups (each timed in turns with its fp32 file), and by how much their scores on
the sealed part are lower than in fp32, on average and at worst; with why the others were not kept.
"""

import argparse
import collections
import re
from pathlib import Path

import numpy as np
import pandas as pd

from automed.api import Run


def main() -> None:
    """Read the runs and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+")
    rows, reasons = [], collections.Counter[str]()
    for folder in parser.parse_args().runs:
        results = Run.open(folder).results
        for model in results.front:
            for file in model.files:
                if file.precision != "int8":
                    continue
                row = {"target": file.target, "run": folder.name, "model": model.name}
                row |= {"family": model.family, "kept": not file.rejected}
                if file.rejected:
                    for why in file.rejected.split("; "):
                        reasons[re.sub(r"[\d.]+", "#", why.partition(": ")[2])] += 1
                else:
                    row["speedup"] = file.costs["speedup"]
                    row["smaller"] = model.files[0].costs["size_bytes"] / file.costs["size_bytes"]
                if file.sealed_change is not None:
                    row["lost"] = -results.sign * file.sealed_change.value
                rows.append(row)
    table = pd.DataFrame(rows)
    for target, mine in table.groupby("target"):
        kept = mine[mine.kept]
        print(f"{target}: {len(kept)} of {len(mine)} front models kept in int8", end="")
        if len(kept):
            mean = np.exp(np.log(kept.speedup).mean())
            print(f"; {mean:.2f} times as fast (geometric mean), {kept.smaller.mean():.1f} times")
            print(f"  smaller; sealed score lower by {kept.lost.mean():.4f} on average,", end="")
            print(f" {kept.lost.max():.4f} at worst")
        else:
            print()
    print(table.groupby(["target", "family"]).kept.agg(["sum", "count"]).to_string())
    for why, number in reasons.most_common():
        print(f"{number:4d}  {why}")


if __name__ == "__main__":
    main()
