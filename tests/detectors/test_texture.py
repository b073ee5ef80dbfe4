"""What the texture detector sees is said by its weights; the shipped ones were trained on the face."""

import numpy as np
import pytest
import torch

from forensics.common.errors import WeightsError
from forensics.detectors import texture
from forensics.detectors.cnn_network import FaceCnn
from forensics.detectors.model_set import Domain, ModelSet, WeightFile, load_model_set
from forensics.detectors.protocol import Subject, judges_pictures, seen_by

CPU = torch.device("cpu")


def set_of(part: WeightFile) -> ModelSet:
    return ModelSet(
        name="t", version="0", licence="none", trained_on="nothing", weights={"texture": part}, calibrations={},
        operating_points={}, domain=Domain(min_crop_px=1, min_sharpness=0),
    )  # fmt: skip


def test_new_weights_see_the_surroundings_and_old_ones_the_face(tmp_path):
    torch.manual_seed(0)
    part = texture.save(FaceCnn(input_px=32, framing="tile"), tmp_path)
    assert part.settings["sees"] == "surroundings"
    detector = texture.load(set_of(part), tmp_path, CPU)
    assert (seen_by(detector), judges_pictures(detector)) == ("surroundings", True)

    old = {name: value for name, value in part.settings.items() if name != "sees"}
    same = texture.load(set_of(part.model_copy(update={"settings": old})), tmp_path, CPU)
    assert (seen_by(same), judges_pictures(same)) == ("face", False)
    # Both score the middle of what they are given.
    rng = np.random.default_rng(0)
    subject = Subject(*(rng.integers(0, 256, (side, side, 3), dtype=np.uint8) for side in (40, 68)))
    scores = [one.score([subject.seen(seen_by(one))])[0] for one in (detector, same)]
    assert scores[0] != scores[1]
    assert scores[0] == detector.score([subject.surroundings[18:50, 18:50]])[0]
    assert scores[1] == same.score([subject.crop[4:36, 4:36]])[0]

    wrong = part.model_copy(update={"settings": {**part.settings, "sees": "everything"}})
    with pytest.raises(WeightsError, match="sees 'everything'"):
        texture.load(set_of(wrong), tmp_path, CPU)


def test_the_shipped_weights_are_given_what_they_say():
    model_set, folder = load_model_set()
    detector = texture.load(model_set, folder, CPU)
    assert seen_by(detector) == model_set.weights["texture"].settings.get("sees", "face")
