from __future__ import annotations

import pickle

import numpy as np
import pytest
from PIL import Image

from sv2r.errors import ConfigError, SampleError
from sv2r.loaders.cityscapes import CityscapesOptions, detect, load, sv2r_loaders
from sv2r.plugin.options import validate_options
from sv2r.testing import check_loader

IDS = np.array([[7, 26001, 26001], [24000, 26, 19999]], np.uint16)


def put(path, values=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".json":
        path.write_text("{}")
    else:
        array = np.full((2, 3, 3), 90, np.uint8) if values is None else values
        Image.fromarray(array).save(path)
    return path


def scene(root, frame, gt="gtFine", kinds=("instanceIds.png",), values=IDS):
    """Write a picture, "<split>/<city>/<city>_<sequence>_<frame>", and its label files."""
    put(root / f"leftImg8bit/{frame}_leftImg8bit.png")
    for kind in kinds:
        put(root / f"{gt}/{frame}_{gt}_{kind}", values)


def dataset(root, **values):
    return load(validate_options(CityscapesOptions, values, where="--loader"), root)


def problems(data):
    return {problem.id: problem.message for problem in data.problems}


AACHEN = "train/aachen/aachen_000003_000019"
ULM = "val/ulm/ulm_000001_000002"


def test_every_label_file_of_a_picture_is_carried(tmp_path):
    kinds = ("instanceIds.png", "labelIds.png", "color.png", "polygons.json", "labelTrainIds.png")
    scene(tmp_path, AACHEN, kinds=kinds)
    scene(tmp_path, AACHEN, gt="gtCoarse", kinds=("labelIds.png",))
    (sample,) = dataset(tmp_path).samples
    assert sample.id == f"leftImg8bit/{AACHEN}_leftImg8bit.png"
    assert [path.relative_to(tmp_path).as_posix() for path in sample.annotation_files] == [
        f"gtCoarse/{AACHEN}_gtCoarse_labelIds.png",
        f"gtFine/{AACHEN}_gtFine_color.png",
        f"gtFine/{AACHEN}_gtFine_instanceIds.png",
        f"gtFine/{AACHEN}_gtFine_labelIds.png",
        f"gtFine/{AACHEN}_gtFine_labelTrainIds.png",
        f"gtFine/{AACHEN}_gtFine_polygons.json",
    ]
    assert dict(sample.attributes) == {"split": "train", "city": "aachen", "sequence": "000003"}


def test_ids_from_1000_on_are_instances_and_regions_are_not(tmp_path):
    scene(tmp_path, AACHEN)
    data = dataset(tmp_path)
    instances = data.samples[0].load_instances()
    assert instances.labels.tolist() == [[0, 26001, 26001], [24000, 0, 19999]]
    assert {i: x.category for i, x in instances.table.items()} == {
        19999: "traffic light",
        24000: "person",
        26001: "car",
    }
    assert data.category_ids["bicycle"] == 33
    assert data.categories[6:8] == ("road", "sidewalk")
    assert len(data.categories) == 33


def test_a_class_that_the_table_does_not_know_keeps_its_number(tmp_path):
    scene(tmp_path, AACHEN, values=np.full((2, 3), 40001, np.uint16))
    instances = dataset(tmp_path).samples[0].load_instances()
    assert [x.category for x in instances.table.values()] == ["class-40"]


@pytest.mark.parametrize("values", [[26], [24, 26, 26], [0, 0, 255]])
def test_an_8_bit_map_of_classes_is_refused(tmp_path, values):
    scene(tmp_path, AACHEN, values=np.array([values], np.uint8))
    with pytest.raises(ConfigError, match="has 8 bits, which cannot hold class"):
        dataset(tmp_path)


def test_an_8_bit_map_among_others_fails_its_own_picture(tmp_path):
    scene(tmp_path, AACHEN, values=np.array([[26, 24, 0]], np.uint8))
    scene(tmp_path, ULM)
    first, second = dataset(tmp_path).samples
    with pytest.raises(SampleError, match="has 8 bits, which cannot hold class"):
        first.load_instances()
    assert sorted(second.load_instances().table) == [19999, 24000, 26001]


def test_an_empty_8_bit_map_has_no_instances(tmp_path):
    scene(tmp_path, AACHEN, values=np.zeros((2, 3), np.uint8))
    assert dict(dataset(tmp_path).samples[0].load_instances().table) == {}


@pytest.mark.parametrize(
    "values", [np.zeros((2, 3, 3), np.uint8), np.array([[26001, 0, 0]], np.int32)]
)
def test_what_is_no_map_of_ids_is_refused(tmp_path, values):
    scene(tmp_path, AACHEN)
    mask = tmp_path / f"gtFine/{AACHEN}_gtFine_instanceIds.png"
    Image.fromarray(values).save(mask, "TIFF")
    with pytest.raises(SampleError) as caught:
        dataset(tmp_path).samples[0].load_instances()
    assert str(caught.value) == (
        f"gtFine/{AACHEN}_gtFine_instanceIds.png: is no picture of instance ids;"
        " write class * 1000 + n as 16-bit grey PNG"
    )


def test_coarse_labels_stand_in_where_there_are_no_fine_ones(tmp_path):
    coarse = np.full((2, 3), 27000, np.uint16)
    scene(tmp_path, AACHEN)
    scene(tmp_path, AACHEN, gt="gtCoarse", values=coarse)
    scene(tmp_path, ULM, gt="gtCoarse", values=coarse)
    data = dataset(tmp_path)
    assert [list(s.load_instances().table) for s in data.samples] == [
        [19999, 24000, 26001],
        [27000],
    ]
    assert data.notes == ("instances come from gtFine (1 pictures) and gtCoarse (1)",)
    data = dataset(tmp_path, annotations="gtCoarse")
    assert [list(s.load_instances().table) for s in data.samples] == [[27000], [27000]]
    assert list(problems(dataset(tmp_path, annotations="gtFine"))) == [
        f"leftImg8bit/{ULM}_leftImg8bit.png"
    ]


def test_splits_can_be_chosen(tmp_path):
    scene(tmp_path, AACHEN)
    scene(tmp_path, ULM)
    put(tmp_path / "gtFine/test/x/x_1_2_gtFine_instanceIds.png", IDS)
    for split in ("val", ["val"]):
        data = dataset(tmp_path, split=split)
        assert list(data.ids) == [f"leftImg8bit/{ULM}_leftImg8bit.png"]
        assert data.problems == ()
    with pytest.raises(ConfigError) as caught:
        dataset(tmp_path, split="vall")
    assert str(caught.value) == (
        f"--loader.split vall: no such split in {tmp_path}/leftImg8bit; there is train, val"
    )


def test_a_flat_tree_such_as_a_simulator_writes_is_read(tmp_path):
    scene(tmp_path, "train/Town10HD_000033_5026200")
    scene(tmp_path, "town_1")
    samples = dataset(tmp_path).samples
    assert [dict(sample.attributes) for sample in samples] == [
        {},
        {"split": "train", "sequence": "000033"},
    ]


def test_what_has_no_other_half_is_a_problem(tmp_path):
    scene(tmp_path, AACHEN)
    scene(tmp_path, ULM, kinds=("labelIds.png", "polygons.json"))
    scene(tmp_path, "val/ulm/ulm_000001_000003", kinds=())
    put(tmp_path / f"leftImg8bit/{AACHEN}_leftImg8bit.jpg")
    put(tmp_path / "gtFine/val/ulm/ulm_9_9_gtFine_labelIds.png", IDS)
    data = dataset(tmp_path)
    assert list(data.ids) == [f"leftImg8bit/{AACHEN}_leftImg8bit.jpg"]
    assert problems(data) == {
        f"leftImg8bit/{AACHEN}_leftImg8bit.png": f"leftImg8bit/{AACHEN}_leftImg8bit.png: has its"
        f" labels in common with leftImg8bit/{AACHEN}_leftImg8bit.jpg; keep one",
        f"leftImg8bit/{ULM}_leftImg8bit.png": f"leftImg8bit/{ULM}_leftImg8bit.png: no instances"
        f" (gtFine/{ULM}_gtFine_instanceIds.png is missing); make it from its polygons with"
        " cityscapesscripts' json2instanceImg",
        "leftImg8bit/val/ulm/ulm_000001_000003_leftImg8bit.png": "leftImg8bit/val/ulm/"
        "ulm_000001_000003_leftImg8bit.png: no instances (gtFine/val/ulm/ulm_000001_000003_gtFine_"
        "instanceIds.png is missing); render it, or take the picture out",
        "gtFine/val/ulm/ulm_9_9_gtFine_labelIds.png": "gtFine/val/ulm/ulm_9_9_gtFine_labelIds.png:"
        " labels without a picture (leftImg8bit/val/ulm/ulm_9_9_leftImg8bit.png is missing);"
        " render it, or remove them",
    }


def test_a_link_that_leads_out_is_a_problem_and_links_elsewhere_are_not(tmp_path):
    root = tmp_path / "in"
    scene(root, AACHEN)
    (root / f"leftImg8bit/{ULM}_leftImg8bit.png").parent.mkdir(parents=True)
    (root / f"leftImg8bit/{ULM}_leftImg8bit.png").symlink_to(put(tmp_path / "a.png"))
    (root / "disparity").symlink_to(tmp_path)
    data = dataset(root)
    assert list(data.ids) == [f"leftImg8bit/{AACHEN}_leftImg8bit.png"]
    assert problems(data) == {
        f"leftImg8bit/{ULM}_leftImg8bit.png": f"leftImg8bit/{ULM}_leftImg8bit.png: a link leads out"
        " of the input folder; put the file itself there"
    }


def test_a_picture_that_is_a_folder_or_a_refused_link_is_told_once(tmp_path):
    root = tmp_path / "in"
    scene(root, AACHEN)
    scene(root, ULM)
    picture = root / f"leftImg8bit/{ULM}_leftImg8bit.png"
    picture.unlink()
    picture.mkdir()
    assert problems(dataset(root)) == {
        f"leftImg8bit/{ULM}_leftImg8bit.png": f"leftImg8bit/{ULM}_leftImg8bit.png: is a folder; "
        "put the picture itself there"
    }
    picture.rmdir()
    picture.symlink_to(put(tmp_path / "a.png"))
    (message,) = problems(dataset(root)).values()
    assert message.endswith("a link leads out of the input folder; put the file itself there")


def test_depth_is_found_by_a_pattern(tmp_path):
    scene(tmp_path, AACHEN)
    depth = put(tmp_path / "depth/aachen/aachen_000003_000019_leftImg8bit.png")
    data = dataset(tmp_path, depth="../../../depth/{parent}/{stem}.png")
    assert dict(data.samples[0].channels) == {"depth": depth}
    with pytest.raises(ConfigError, match=r"--loader\.depth .* finds nothing"):
        dataset(tmp_path, depth="{stem}.exr")


def test_another_tree_is_refused_with_a_reason(tmp_path):
    assert detect(tmp_path).reason == "no folder leftImg8bit"
    put(tmp_path / f"leftImg8bit/{AACHEN}_leftImg8bit.png")
    assert detect(tmp_path).confidence == 0
    with pytest.raises(ConfigError, match="leftImg8bit, but neither gtFine nor gtCoarse"):
        dataset(tmp_path)
    scene(tmp_path, AACHEN)
    assert detect(tmp_path).confidence == 0.95
    assert detect(tmp_path).reason == "has the folders gtFine and leftImg8bit"


def test_a_tree_behind_a_link_names_the_link(tmp_path):
    scene(tmp_path / "far", AACHEN)
    (tmp_path / "in/gtFine").mkdir(parents=True)
    (tmp_path / "in/leftImg8bit").symlink_to(tmp_path / "far/leftImg8bit")
    with pytest.raises(ConfigError, match="no folder leftImg8bit; leftImg8bit: a link to a folder"):
        dataset(tmp_path / "in")


def test_the_loader_keeps_the_contract(tmp_path):
    scene(tmp_path, AACHEN)
    scene(tmp_path, ULM)
    (spec,) = sv2r_loaders()
    check_loader(spec, tmp_path)


def test_samples_can_be_sent_elsewhere(tmp_path):
    scene(tmp_path, AACHEN)
    scene(tmp_path, ULM)
    samples = pickle.loads(pickle.dumps(dataset(tmp_path).samples[1:]))
    assert [sample.id for sample in samples] == [f"leftImg8bit/{ULM}_leftImg8bit.png"]
    assert samples[0].load_instances().labels[0].tolist() == [0, 26001, 26001]
