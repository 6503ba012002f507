"""Points of a curve for TensorBoard: one small file an epoch, whole or not there, written by the process itself.

SummaryWriter leaves the writing to a thread, in which a full disk is a traceback, and takes a second to import.
"""

import time
from pathlib import Path

from common.files import write_atomically


def write_point(folder: Path, step: int, values: dict[str, float]) -> None:
    """The values of a step, by their names. A step that is written again takes the place of the one before.

    Raises:
        UserError: the folder cannot be written.
    """
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    now = time.time()
    points = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
    events = (
        Event(wall_time=now, file_version="brain.Event:2"),
        Event(wall_time=now, step=step, summary=Summary(value=points)),
    )

    def write(temporary: Path) -> None:
        with open(temporary, "wb") as file:
            records = RecordWriter(file)
            for event in events:
                records.write(event.SerializeToString())

    write_atomically(folder / f"events.{step:05}.tfevents", write)
