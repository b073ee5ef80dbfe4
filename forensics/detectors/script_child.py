"""The process in which a user's `predict` runs: paths come in as JSON lines, answers go out as JSON lines."""

import importlib.util
import json
import os
import sys
from pathlib import Path


def main() -> None:
    """Serve `predict` of the file named on the command line until standard input ends."""
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what the detector prints is not an answer
    file = Path(sys.argv[1])
    sys.path.insert(0, str(file.parent))
    error = predict = None
    try:
        spec = importlib.util.spec_from_file_location(file.stem, file)
        if spec is None or spec.loader is None:
            raise ImportError("not a Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[file.stem] = module
        spec.loader.exec_module(module)
        predict = module.predict
    except BaseException as failure:  # noqa: BLE001  (whatever the user's code raises is the answer)
        error = _one_line(failure)
    for line in sys.stdin:
        answer: dict[str, object] = {}
        try:
            answer = {"error": error} if predict is None else {"score": float(predict(json.loads(line)))}
        except BaseException as failure:  # noqa: BLE001
            answer = {"error": _one_line(failure)}
        output.write(json.dumps(answer) + "\n")
        output.flush()


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]


if __name__ == "__main__":
    main()
