"""What a run has done so far: its tasks, one step after another, with the account of each step."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from yanmo.progress import track
from yanmo.tasks import Done, Task, Workers, run


@dataclass
class Progress:
    """What a run has done so far: tasks and seconds per step."""

    cache: Path
    workers: Workers
    quiet: bool = False
    steps: dict[str, dict[str, float]] = field(default_factory=dict)
    folders: list[Path] = field(default_factory=list)

    def run(self, tasks: Sequence[Task]) -> list[Done]:
        """Run the tasks of one step and keep the account."""
        if not tasks:
            return []
        with track(len(tasks), tasks[0].step, quiet=self.quiet) as watcher:
            done = run(tasks, cache=self.cache, workers=self.workers, watcher=watcher)
        for item in done:
            account = self.steps.setdefault(
                item.task.step, {"tasks": 0, "cached": 0, "seconds": 0.0}
            )
            account["tasks"] += 1
            account["cached"] += item.cached
            account["seconds"] = round(account["seconds"] + item.seconds, 3)
            self.folders.append(item.folder)
        return done

    @property
    def fresh(self) -> int:
        """How many tasks were really run."""
        return int(sum(step["tasks"] - step["cached"] for step in self.steps.values()))
