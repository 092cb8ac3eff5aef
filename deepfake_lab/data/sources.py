"""What is known about where photos come from, for tables and model cards.

A data set in a known layout goes by the layout's name (``140k``), any other by its folder's; a
source inside it by the name that its manifest gives it. What is not in here is called unknown, and
never guessed.
"""

from dataclasses import dataclass, replace

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
_LISTED = "as of each repository, see tools/collected_faces.csv"
_UNSEEN = "as of each repository, see tools/unseen_faces.csv"

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
    Source("140k_more", "real", PHOTO, 'further FFHQ portraits of Kaggle\'s "140k Real and Fake '
           'Faces", in Kaggle\'s own JPEG encoding', _RESEARCH),
    Source("140k_more", "fake", "gan", 'further StyleGAN faces of Kaggle\'s "140k Real and Fake '
           'Faces", in Kaggle\'s own JPEG encoding', "as stated at Kaggle"),
    Source("dhanu_gan", "fake", "gan", "StyleGAN faces as in Kaggle's 140k, renamed (github.com/"
           "Dhanu-Sree-Suresh/Deepfake-Image-Detection)", UNKNOWN),
    Source("deepshield_gan", "fake", "gan", "studio portraits like those of generated.photos; "
           "generator not named (github.com/sakshisalunkhe601/DeepShield-AI-Image-Detector)",
           UNKNOWN),
    Source("omi_sg2", "fake", "gan", "StyleGAN2 faces of One Million Impressions (Peterson et al., "
           "PNAS 2022)", "CC BY-NC-SA"),
    Source("omi_edit", "fake", "gan", "StyleGAN2 faces of One Million Impressions, with changed "
           "attributes", "CC BY-NC-SA"),
    Source("omi_cfd_inv", "fake", "gan", "photos inverted into StyleGAN2 and changed there, of One "
           "Million Impressions", "CC BY-NC-SA"),
    Source("basemax_tpdne", "fake", "gan", "pictures of the face generator of boredhumans.com "
           "(github.com/BaseMax/FakeFaces)", UNKNOWN),
    Source("survey_tpdne", "fake", "gan", "StyleGAN2 faces of thispersondoesnotexist "
           "(github.com/sergibot/FakeFacesSurvey)", UNKNOWN),
    Source("survey_tpdne", "real", PHOTO, "FFHQ portraits of the same survey", UNKNOWN),
    Source("tpdne_u1i", "fake", "gan", "StyleGAN morphs (github.com/u1i/ai-faces)", UNKNOWN),
    Source("gpt4o_nano", "fake", "diffusion", "portraits by GPT-4o's and Gemini's picture "
           "generators, from public galleries of prompts, picked by eye", UNKNOWN),
    Source("celebdf", "real", PHOTO, "face crops of the real videos of Celeb-DF v2 (Li et al., "
           "CVPR 2020)", _RESEARCH),
    Source("celebdf", "fake", "swap", "face crops of the face-swapped videos of Celeb-DF v2 (Li et "
           "al., CVPR 2020)", _RESEARCH),
    Source("celebdf_crops", "real", PHOTO, "smaller face crops of Celeb-DF v2 and FaceForensics++",
           _RESEARCH),
    Source("celebdf_crops", "fake", "swap", "smaller face crops of Celeb-DF v2 and "
           "FaceForensics++", _RESEARCH),
    Source("aaf", "real", PHOTO, "All-Age-Faces, ages 2 to 80, most of the people Asian, many of "
           "the photos black and white", UNKNOWN),
    Source("lfw", "real", PHOTO, "Labeled Faces in the Wild (Huang et al., 2007), at most three "
           "photos a person", UNKNOWN),
    Source("scut_fbp", "real", PHOTO, "SCUT-FBP5500 (Liang et al., ICPR 2018)", _RESEARCH),
    Source("ytf", "real", PHOTO, "frames of YouTube Faces (Wolf et al., CVPR 2011)", UNKNOWN),
    Source("celeb_web", "real", PHOTO, "web photos of film actors, few people", UNKNOWN),
    Source("sports_web", "real", PHOTO, "web photos of athletes, few people", UNKNOWN),
    Source("somali_web", "real", PHOTO, "web photos of Somali public figures", UNKNOWN),
    Source("fasd_webcam", "real", PHOTO, "live faces before webcams, of a liveness set", UNKNOWN),
    Source("reconstructed", "fake", "diffusion", "real photos of other sources, sent through the "
           "auto-encoder of a diffusion model by `tools/reconstruct.py` (FLUX.2's tiny one)",
           "as of the photos"),
    Source("today_gpt", "fake", "diffusion", "portraits by GPT-Image-2 and GPT-4o, from public "
           "galleries of prompts", _LISTED),
    Source("today_nano", "fake", "diffusion", "portraits by Gemini 2.5 Flash Image and Gemini 3 "
           "Pro Image (Nano Banana, Nano Banana Pro), four of ten of one invented person", _LISTED),
    Source("today_flux", "fake", "diffusion", "portraits by FLUX.1 dev, most of them of one "
           "invented person", _LISTED),
    Source("today_sdxl", "fake", "diffusion", "one prompt by many fine-tunes of SDXL and Stable "
           "Diffusion (AI Horde)", _LISTED),
    Source("today_higgsfield", "fake", "diffusion", "portraits of one invented person, by one of "
           "several generators, which is not said", _LISTED),
    Source("today_mj", "fake", "diffusion", "portraits by Midjourney", _LISTED),
    Source("today_kolors", "fake", "diffusion", "portraits by Kolors", _LISTED),
    Source("today_qwen", "fake", "diffusion", "portraits by Qwen-Image-Edit", _LISTED),
    Source("today_seedream", "fake", "diffusion", "portraits by Seedream 5 Pro", _LISTED),
    Source("hardfake", "real", PHOTO, 'real photos of Kaggle\'s "hardfakevsrealfaces"', _LISTED),
    Source("hardfake", "fake", "gan", 'StyleGAN2 faces (thispersondoesnotexist) of Kaggle\'s '
           '"hardfakevsrealfaces"', _LISTED),
    Source("tpdne_1024", "fake", "gan", "StyleGAN2 faces of thispersondoesnotexist, 1024 px",
           _LISTED),
    Source("stylegan3_pool", "fake", "gan", "StyleGAN3 faces", _LISTED),
    Source("ffhq_1024", "real", PHOTO, "FFHQ portraits from Flickr (Karras et al., CVPR 2019), "
           "1024 px", _RESEARCH),
    Source("hq_photos_1024", "real", PHOTO, "portraits of 1024 px, by their look of FFHQ and "
           "CelebA-HQ", _LISTED),
    Source("140k_web", "real", PHOTO, 'photos of Kaggle\'s "140k Real and Fake Faces" in another '
           "repository (inferred from names and size)", _LISTED),
    Source("140k_web", "fake", "gan", 'StyleGAN faces of Kaggle\'s "140k Real and Fake Faces" in '
           "another repository (inferred from names and size)", _LISTED),
    Source("ciplab_more", "real", PHOTO, "further photos of the set of ciplab", "none stated"),
    Source("ciplab_more", "fake", "edit", "further photos of the set of ciplab in which experts "
           "replaced parts of the face by hand", "none stated"),
    Source("facechain_sd15", "fake", "diffusion", "portraits in styles of FaceChain, by fine-tuned "
           "Stable Diffusion 1.5", "Apache-2.0"),
    Source("laboratoriet", "real", PHOTO, "photos of people of a guessing game", _LISTED),
    Source("laboratoriet", "fake", "diffusion", "pictures of people of the same game, by a "
           "generator that is not said (family: by their look)", _LISTED),
    Source("face_research_lab", "real", PHOTO, "portraits before a plain ground (Face Research Lab "
           "London and Canadian sets of webmorphR)", "CC BY 4.0"),
    Source("pixabay_people", "real", PHOTO, "stock photos of men and women from Pixabay, of before "
           "it took pictures made by AI (by their numbers)", "Pixabay licence"),
    Source("web_portraits", "real", PHOTO, "portraits of speakers and staff from the web sites of "
           "open-source communities and of 18F, and profile pictures", _LISTED),
    Source("openforensics", "real", PHOTO, "faces of 256 px that their repository calls real; by "
           'names and look of OpenForensics (Le et al., ICCV 2021), as in Kaggle\'s "deepfake and '
           'real images"', _LISTED),
    Source("openforensics", "fake", "swap", "faces of 256 px that the same repository calls fake; "
           "by names and look the face swaps of OpenForensics", _LISTED),
    Source("sdfd", "fake", "diffusion", "faces by Stable Diffusion 2.1, of people and headwear of "
           "many kinds (SDFD)", _LISTED),
    Source("flux_politicians", "real", PHOTO, "press photos and video frames of politicians of "
           "Ecuador", "MIT"),
    Source("flux_politicians", "fake", "diffusion", "the same politicians by FLUX.1 dev, "
           "fine-tuned on each of them", "MIT"),
    Source("perception_study", "real", PHOTO, "portraits of 512 px of a perception study", _LISTED),
    Source("perception_study", "fake", "gan", "faces of the same study (by their years and look of "
           "ProGAN, StyleGAN and StyleGAN2)", _LISTED),
    Source("students_gans", "real", PHOTO, "photos of the set of ciplab, shrunk to 128 px",
           _LISTED),
    Source("students_gans", "fake", "gan", "faces of 128 px by BEGAN and ProGAN", _LISTED),
    Source("students_stargan", "fake", "edit", "celebrity photos of 128 px with attributes changed "
           "by StarGAN", _LISTED),
    Source("styleclip", "fake", "gan", "celebrities as StyleGAN2 draws them (inversions of "
           "StyleCLIP)", "MIT"),
    Source("celeba_hq_inputs", "real", PHOTO, "portraits, sharp, blurred and old ones, that "
           "research code restores or edits (many of CelebA-HQ)", _LISTED),
    Source("aging_inpainting", "real", PHOTO, "celebrity photos, the inputs of research code for "
           "ageing and inpainting", _LISTED),
    Source("aging_inpainting", "fake", "edit", "faces aged by GANs or inpainted by diffusion, from "
           "research code", _LISTED),
    Source("ai_people", "real", PHOTO, "photos of people of guessing games and inputs of research "
           "code", _LISTED),
    Source("ai_people", "fake", "diffusion", "people of guessing games, galleries and web pages, "
           "by generators that most of them do not name (family: by their look)", _LISTED),
    Source("today_gemini", "fake", "diffusion", "portraits by Gemini, most of them of one man",
           _LISTED),
    Source("fei", "real", PHOTO, "portraits before a plain wall, turned heads (FEI Face Database)",
           _RESEARCH),
    Source("uk_mps", "real", PHOTO, "official portraits of members of the UK's parliament, 120 x "
           "160 px", _LISTED),
    Source("celebrities_web", "real", PHOTO, "press photos of celebrities, more than half of "
           "them of two people", _LISTED),
    Source("web_faces", "real", PHOTO, "web photos of people without a mask (from a set of face "
           "masks)", _LISTED),
    Source("tpdne_more", "fake", "gan", "further StyleGAN2 faces of thispersondoesnotexist, most "
           "of them of 1024 px", _LISTED),
    Source("stylegan2_avatars", "fake", "gan", "StyleGAN2 faces, samples of its authors, as "
           "avatars of 256 px", _LISTED),
    Source("random_faces", "fake", "gan", "faces of 256 px before grey grounds, by generators that "
           "are not said (by their look generated.photos and StyleGAN2)", _LISTED),
    Source("facemash", "fake", "gan", "portraits of generated.photos, 512 px", _LISTED),
    Source("stylegan_code", "fake", "gan", "faces made with the code of StyleGAN2, StyleGAN2-ADA "
           "and StyleGAN3, some enlarged by Real-ESRGAN", _LISTED),
    Source("studio_faces", "real", PHOTO, "studio portraits before white (American Multiracial "
           "Faces Database)", _LISTED),
    Source("vcard_photos", "real", PHOTO, "profile pictures of the web, committed in 2021",
           _LISTED),
    Source("quiz_people", "real", PHOTO, "web photos of people of a guessing game", _LISTED),
    Source("quiz_people", "fake", "diffusion", "people of two guessing games, by DALL-E 3, SDXL "
           "and, some of them presumably, Midjourney", _LISTED),
    Source("ai_persona", "fake", "diffusion", "one invented person, by several generators (Nano "
           "Banana Pro, FLUX and Z-Image among them), which is not said", _LISTED),
    Source("profile_maker", "fake", "diffusion", "portraits in styles of a program for profile "
           "pictures (presumably FLUX)", _LISTED),
    Source("dcface", "fake", "diffusion", "faces of 112 px by a DDPM (first stage of DCFace)",
           _LISTED),
    Source("flux2_expressions", "real", PHOTO, "photos of RAF-DB, the inputs of the same edits",
           _LISTED),
    Source("flux2_expressions", "fake", "edit", "other expressions on the faces of six people, "
           "by FLUX.2 klein", "Apache-2.0"),
    Source("makeup", "real", PHOTO, "web photos of people, inputs of programs that transfer "
           "make-up", _LISTED),
    Source("makeup", "fake", "edit", "such photos with the make-up of others, by BeautyGAN, 256 px",
           _LISTED),
    Source("wiki_faces", "real", PHOTO, "face crops, inputs of a program for ageing (by their "
           "names IMDB-WIKI)", _LISTED),
    Source("councils", "real", PHOTO, "official portraits of Chicago's and New York's councils and "
           "of LA Metro's board", _LISTED),
    Source("conference_more", "real", PHOTO, "speakers of csv,conf (2014 to 2021) and DjangoCon US "
           "2019", _LISTED),
    Source("masked_faces", "real", PHOTO, "web photos of people with and without medical masks",
           _LISTED),
    Source("web_people", "real", PHOTO, "few people each: celebrities, television stills, stock "
           "photos, samples of research code", _LISTED),
    Source("deepfacelive", "real", PHOTO, "press photos of celebrities, samples of DeepFaceLive",
           _LISTED),
    Source("deepfacelive", "fake", "swap", "faces of celebrities on other people, by models of "
           "DeepFaceLive (the pictures that show what these make)", _LISTED),
    Source("reenactgan", "real", PHOTO, "frames of interviews, the inputs of ReenactGAN", _LISTED),
    Source("reenactgan", "fake", "swap", "one politician with the expressions of others, by "
           "ReenactGAN", _LISTED),
    Source("inswapper", "fake", "swap", "portraits of FFHQ with another's face, by inswapper",
           _UNSEEN),
    Source("swap_programs", "fake", "swap", "sample results of face-swap programs, SimSwap, "
           "BlendFace and GHOST among them, and frames of FaceForensics++", _UNSEEN),
    Source("gan_code", "fake", "gan", "samples of research code: StyleGAN, StyleGAN2, MSG-StyleGAN "
           "and ProGAN, 1024 px", _UNSEEN),
    Source("hairstyles", "real", PHOTO, "FFHQ portraits, the inputs of the same edits", _UNSEEN),
    Source("hairstyles", "fake", "edit", "FFHQ portraits with other hair, inpainted by SDXL",
           _UNSEEN),
    Source("edit_programs", "real", PHOTO, "the three photos of the same edits", _UNSEEN),
    Source("edit_programs", "fake", "edit", "three people in another light, with other hair "
           "colours, or made prettier, by three programs", _UNSEEN),
    Source("human_or_ai", "real", PHOTO, "human faces of a perception test (by their names FFHQ "
           "portraits chosen by Nightingale and Farid, PNAS 2022)", _UNSEEN),
    Source("human_or_ai", "fake", "gan", "AI faces of the same test (by their names StyleGAN2)",
           _UNSEEN),
    Source("stylegan2_seeds", "fake", "gan", "faces made with StyleGAN2-ADA's code", _UNSEEN),
    Source("stylegan2_students", "fake", "gan", "faces of a StyleGAN2 that was trained on photos "
           "of students (by names of files and folders)", _UNSEEN),
    Source("stylegan3_seeds", "fake", "gan", "faces made with StyleGAN3's code", _UNSEEN),
    Source("imagen_4", "fake", "diffusion", "headshots and portraits by Imagen 4", _UNSEEN),
    Source("nano_banana_pro", "fake", "diffusion", "headshots by Gemini 3 Pro Image (Nano Banana "
           "Pro)", _UNSEEN),
    Source("dalle_2", "fake", "diffusion", "portraits by DALL-E 2", _UNSEEN),
    Source("flux_web", "fake", "diffusion", "portraits by FLUX, from a web service", _UNSEEN),
    Source("sdxl_headshots", "fake", "diffusion", "headshots by SDXL", _UNSEEN),
    Source("sdxl_one_person", "fake", "diffusion", "one invented person by SDXL or FLUX.1",
           _UNSEEN),
    Source("sd15_attributes", "fake", "diffusion", "faces by Stable Diffusion 1.5 or a fine-tune "
           "of it", _UNSEEN),
    Source("occupations", "fake", "diffusion", "people at work by Stable Diffusion or DALL-E, of a "
           "study of bias", _UNSEEN),
    Source("fashn_models", "fake", "diffusion", "fashion models by the service FASHN, whole "
           "figures (family: by their look)", _UNSEEN),
    Source("conference_pages", "real", PHOTO, "speakers on the web sites of ten conferences, 2014 "
           "to 2022", _UNSEEN),
    Source("team_pages", "real", PHOTO, "portraits on team pages of Project Jupyter and of the "
           "Presidential Innovation Fellows, committed before 2022", _UNSEEN),
)  # fmt: skip

#: (name, label) -> facts.
SOURCES = {(source.name, source.label): source for source in _KNOWN}


#: Layout of a download -> the source that it is more of.
_DOWNLOADS = {
    "hardfakevsrealfaces": "hardfake",
    "rvf10k": "140k",
    "deepfake-and-real-images": "openforensics",
}


def describe(name: str, label: str) -> Source:
    """Return what is known about a source; for an unknown one, that nothing is."""
    known = SOURCES.get((_DOWNLOADS.get(name, name), label))
    if known is None:
        family = PHOTO if label == "real" else name
        return Source(name, label, family, "not described", UNKNOWN)
    return known if known.name == name else replace(known, name=name, terms=UNKNOWN)


def dataset_name(layout: str, folder_name: str) -> str:
    """Return what a data set is called in tables.

    Args:
        layout: as :class:`deepfake_lab.data.datasets.Dataset` has it.
        folder_name: the last part of its path.
    """
    return _own(folder_name if layout in ("plain", "manifest") else layout)


def _own(name: str) -> str:
    """Return a name that is none of a table's rows for several data sets, or several families."""
    return f"{name}_" if name in ("all", "macro") else name


def with_origin(manifest: pd.DataFrame, data: str) -> pd.DataFrame:
    """Return the manifest with the column ``data``, and ``source`` and ``family`` filled.

    Where a layout knows no sources, each label is a source of its own, and takes the data set's
    name. A fake's family is the manifest's; where that says nothing, what is known about its
    source; else the source itself.

    Args:
        manifest: as :func:`deepfake_lab.data.datasets.read_dataset` makes it, or any frame with
            ``label, source``.
        data: the name of the data set; where it is empty, labels stay sources.
    """
    source = manifest["source"].astype(str)
    if data:
        source = source.where(source != manifest["label"], data)
    known = pd.Series(
        [describe(name, label).family for name, label in zip(source, manifest["label"])],
        index=manifest.index, dtype=str,
    )  # fmt: skip
    family = manifest["family"].fillna(known) if "family" in manifest else known
    family = family.where(manifest["label"] == "fake", PHOTO).map(_own)
    return manifest.assign(data=data, source=source, family=family)
