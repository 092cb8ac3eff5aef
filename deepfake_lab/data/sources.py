"""What is known about where photos come from, for tables and model cards.

A data set in a known layout goes by the layout's name (``140k``), any other by its folder's; a
source inside it by the name that its manifest gives it. What is not in here is called unknown, and
never guessed.
"""

from dataclasses import dataclass

import pandas as pd

#: What a card says where nothing is known.
UNKNOWN = "terms not recorded"

#: The family of real photos.
PHOTO = "photo"


@dataclass(frozen=True)
class Source:
    """Facts about one source of photos.

    Attributes:
        name: the column ``source``.
        label: ``real`` or ``fake``.
        family: kind of fake (``gan``, ``diffusion``, ``swap``, ``edit``, ``blend``) or ``photo``.
        what: what the photos are and where they come from.
        terms: what is known about the right to use them.
    """

    name: str
    label: str
    family: str
    what: str
    terms: str


_RESEARCH = "research only, not commercial"

_KNOWN = (
    Source("140k", "real", PHOTO, "FFHQ portraits from Flickr (Karras et al., CVPR 2019), as in "
           'Kaggle\'s "140k Real and Fake Faces"', _RESEARCH),
    Source("140k", "fake", "gan", 'StyleGAN faces of Kaggle\'s "140k Real and Fake Faces" (which '
           "generator: inferred from their names and look)", "as stated at Kaggle"),
    Source("celeba", "real", PHOTO, "aligned celebrity photos of CelebA (Liu et al., ICCV 2015; "
           "inferred from names and size)", _RESEARCH),
    Source("utkface", "real", PHOTO, "tight face crops of UTKFace (Zhang et al., CVPR 2017), many "
           "of them soft", _RESEARCH),
    Source("dfdc", "real", PHOTO, "face crops, one per clip, of the unaltered videos of the "
           "Deepfake Detection Challenge (Dolhansky et al., 2020)", "the challenge's terms"),
    Source("dfdc", "fake", "swap", "face crops, one per clip, of the challenge's face-swapped "
           "videos (Dolhansky et al., 2020)", "the challenge's terms"),
    Source("ciplab", "real", PHOTO, 'photos of "Real and Fake Face Detection" (Computational '
           "Intelligence and Photography Lab, Yonsei University)", "none stated"),
    Source("ciplab", "fake", "edit", "photos of the same set in which experts replaced eyes, nose "
           "or mouth by hand", "none stated"),
    Source("stylegan2", "fake", "gan", "pictures of the face generator of boredhumans.com, which "
           "does not name it; they look like StyleGAN's", "the collection: GPL-3.0"),
    Source("generated_photos", "fake", "gan", "studio portraits of generated.photos (inferred from "
           "their look and metadata)", "proprietary"),
    Source("stable_diffusion_21", "fake", "diffusion", "Stable Diffusion 2.1 portraits of SDFD "
           "(Baltsou et al., IEEE FG 2024)", "citation asked for"),
    Source("sfhq_t2i", "fake", "diffusion", "portraits of SFHQ-T2I, made by SDXL and FLUX.1 "
           "schnell", "MIT"),
    Source("caltech101", "real", PHOTO, 'photos of 27 people, category "Faces" of Caltech 101 (Li '
           "et al., 2022)", "CC BY 4.0"),
    Source("self_blended", "fake", "blend", "Caltech 101 photos blended with an altered copy of "
           "themselves by this project", "CC BY 4.0, changed"),
    Source("face_swap", "fake", "swap", "Caltech 101 photos that wear another person's face, made "
           "by this project", "CC BY 4.0, changed"),
    Source("mobilestylegan", "fake", "gan", "output of MobileStyleGAN (Belousov, 2021), a "
           "generator trained on FFHQ", "the package: Apache-2.0"),
)  # fmt: skip

#: (name, label) -> facts.
SOURCES = {(source.name, source.label): source for source in _KNOWN}


def describe(name: str, label: str) -> Source:
    """Return what is known about a source; for an unknown one, that nothing is."""
    family = PHOTO if label == "real" else name
    unknown = Source(name, label, family, "not described", UNKNOWN)
    return SOURCES.get((name, label), unknown)


def dataset_name(layout: str, folder_name: str) -> str:
    """Return what a data set is called in tables.

    Args:
        layout: as :class:`deepfake_lab.data.datasets.Dataset` has it.
        folder_name: the last part of its path.
    """
    return folder_name if layout in ("plain", "manifest") else layout


def with_origin(manifest: pd.DataFrame, data: str) -> pd.DataFrame:
    """Return the manifest with the column ``data``, and ``source`` and ``family`` filled.

    Where a layout knows no sources, each label is a source of its own, and takes the data set's
    name. A fake's family is the manifest's; where that says nothing, what is known about its
    source; else the source itself.

    Args:
        manifest: as :func:`deepfake_lab.data.datasets.read_dataset` makes it, or any frame with
            ``label, source``.
        data: the name of the data set.
    """
    source = manifest["source"].where(manifest["source"] != manifest["label"], data).astype(str)
    known = pd.Series(
        [describe(name, label).family for name, label in zip(source, manifest["label"])],
        index=manifest.index, dtype=str,
    )  # fmt: skip
    family = manifest["family"].fillna(known) if "family" in manifest else known
    family = family.where(manifest["label"] == "fake", PHOTO)
    return manifest.assign(data=data, source=source, family=family)
