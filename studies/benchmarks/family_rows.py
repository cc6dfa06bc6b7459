"""Which family is tried on which data, and what it has to beat there."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Row:
    """One family on one data set.

    Attributes:
        family: Its default point is trained, but for `config`.
        file: Path below the shared data, or the name of a phantom.
        keys: Roles of the file's arrays or columns.
        problem: What is learnt.
        score: What is compared.
        floor: What to beat on the same folds: a classical baseline, or of PER_SAMPLE or NETWORKS.
        beside: More of these, whose scores are told beside it.
        also: More metrics that are told of the model.
        folds: Number of folds by patient; 0 takes one train, val and test, delivered or cut.
        share: Share of the training samples whose labels are used.
        epochs: Epochs of each training.
        training: Settings that differ from a task's defaults.
        classes: The first so many classes only; all if 0.
        config: Parameters that differ from the family's default.
    """

    family: str
    file: str
    keys: Mapping[str, str] = field(default_factory=dict)
    problem: str = "classification"
    score: str = "auc"
    floor: str = "random-forest"
    beside: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    folds: int = 5
    share: float = 1.0
    epochs: int = 30
    training: Mapping[str, Any] = field(default_factory=dict)
    classes: int = 0
    config: Mapping[str, Any] = field(default_factory=dict)


LIDC = "lidc_nodule3d/lidc_nodule3d_trainval.npz"
TEXTURE = {"images": "volumes", "labels": "texture_class", "group": "patient", "split": "none"}
MASKS = {"images": "volumes", "masks": "masks", "group": "patient", "split": "none"}
RATINGS = "lobulation+sphericity+margin+texture+spiculation+subtlety"
CONV = ("vgg", "inception", "resnet", "densenet", "mobile")
ROWS = (
    Row(
        family="dnn",
        file="lidc_nodule3d/labels_trainval.csv",
        keys={"table": RATINGS, "labels": "malignant", "group": "patient", "split": "none"},
        floor="logistic-regression",
        epochs=60,
    ),
    *(
        Row(
            family=name,
            file=LIDC,
            keys=TEXTURE,
            epochs=60,
            training={"batch": 8, "augment": ("flip", "rotate90")},  # HU tell the texture
            config={"stem": "stride4"},
        )
        for name in CONV
    ),
    *(
        Row(
            family=name,
            file="msd_lung_tumor2d/msd_lung_tumor2d_train.npz",
            problem="segmentation",
            score="dice",
            floor="threshold",
            beside=("monai-unet",),
            epochs=60,
            training={"batch": 8},
        )
        for name in ("unet", "vnet", "segnet")
    ),
    Row(
        family="unet",
        file=LIDC,
        keys=MASKS,
        problem="segmentation",
        score="dice",
        floor="threshold",
        folds=3,
        epochs=12,
        training={"batch": 4},
        config={"width": 8, "depth": 1},
    ),
    Row(
        family="unet",
        file="msd_hippocampus",
        problem="segmentation",
        score="dice",
        floor="threshold",
        folds=0,
        epochs=20,
        training={"batch": 4, "augment": ("intensity",)},
        config={"stages": 3},
    ),
    Row(
        family="cnn-rnn",
        file="mitbih_beats/mitbih_beats_ds1.npz",
        keys={"group": "record", "split": "none"},
        score="balanced_accuracy",
        folds=3,
        epochs=12,
        training={"augment": ("intensity",)},
        classes=4,  # N, S, V, F: of Q there are 8 beats
    ),
    Row(
        family="cnn-rnn",
        file="lidc_malignancy_slices/lidc_malignancy_trainval.npz",
        keys={"images": "volumes", "group": "exam_id", "split": "none"},
        beside=("nodule-area",),
        folds=3,
        epochs=20,
        training={"batch": 8},  # of some 390 volumes: more steps, not more epochs
    ),
    Row(
        family="autoencoder",
        file="luna16_patches2d/luna16_patches2d_trainval.npz",
        keys={"group": "group"},
        problem="anomaly",
        floor="pca",
        beside=("mean-intensity",),
        folds=0,
        epochs=12,
    ),
    Row(
        family="detector",
        file="phantom:lung-ct-slices",
        problem="detection",
        score="froc",
        floor="blob-detector",
        folds=0,
        epochs=12,
        training={"batch": 16},
    ),
    Row(
        family="gan",
        file="phantom:lung-ct",
        problem="reconstruction",
        score="psnr",
        floor="gaussian",
        beside=("median", "identity"),
        also=("texture",),
        folds=0,
        epochs=12,
    ),
    Row(
        family="registration",
        file="msd_hippocampus",
        problem="registration",
        score="dice",
        floor="iterative-affine",
        beside=("identity",),
        also=("folding",),
        folds=0,
        epochs=16,
        training={"batch": 2, "augment": ("flip", "intensity")},
    ),
    *(
        Row(
            family=name,
            file="medmnist/pneumoniamnist.npz",
            floor="logistic-regression",
            folds=0,
            share=share,
            epochs=epochs,
        )
        for name in ("dbn", "dbm", "dc-elm", "dsn")
        for share, epochs in ((1.0, 10), (0.05, 60))
    ),
)
