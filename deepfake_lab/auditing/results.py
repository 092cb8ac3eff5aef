"""What an audit found, as data and as text."""

from dataclasses import astuple, dataclass

import pandas as pd

from deepfake_lab.auditing import checks
from deepfake_lab.auditing.checks import Finding
from deepfake_lab.data.datasets import Dataset
from deepfake_lab.printing import printable_lines


@dataclass(frozen=True)
class Results:
    """What an audit found.

    Attributes:
        dataset: what was looked at.
        verdict: the whole in one sentence.
        faults: the findings, the gravest first.
        shortcuts: how far each signal gives the label away, see :func:`shortcuts.measure`.
        faces_looked_for: in how many photos faces were looked for.
    """

    dataset: Dataset
    verdict: str
    faults: tuple[Finding, ...]
    shortcuts: pd.DataFrame
    faces_looked_for: int

    @property
    def findings(self) -> pd.DataFrame:
        """Return `finding, severity, count, examples, detail, advice, topic`, a row a finding."""
        columns = ["finding", "severity", "count", "examples", "detail", "advice", "topic"]
        frame = pd.DataFrame([astuple(fault) for fault in self.faults], columns=columns)
        return frame.assign(examples=frame["examples"].map(", ".join))

    def summary(self) -> str:
        """Return the audit as text for a person."""
        lines = [self.verdict, "", self.dataset.summary().splitlines()[0]]
        lines += [f"  note: {note}" for note in self.dataset.notes]
        if not self.faults:
            lines.append("  nothing found")
        for severity in checks.SEVERITIES:
            for fault in [fault for fault in self.faults if fault.severity == severity]:
                lines.append(f"  {severity.upper():6} {fault.finding} ({fault.count:,})")
                lines.append(f"         {fault.detail}")
                lines.append(f"         e.g. {', '.join(fault.files[:3])}")
                lines.append(f"         -> {fault.advice}")
        overall = self.shortcuts[self.shortcuts["pair"] == "all"]
        if len(overall):
            lines += ["", "Telling real from fake without looking at a face (AUC; 0.50 is a coin):"]
            for row in overall.sort_values("auc", ascending=False).itertuples():
                mark = "  <- shortcut" if row.shortcut else ""
                lines.append(
                    f"  {row.signal:19} {row.auc:.2f}  ({row.low:.2f} to {row.high:.2f}){mark}"
                )
        return printable_lines(lines)
