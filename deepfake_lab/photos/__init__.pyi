from .evidence import Evidence as Evidence
from .faces import Face as Face, find_faces as find_faces
from .framing import frame_center as frame_center
from .images import (
    FramedFace as FramedFace,
    ImageSource as ImageSource,
    Photo as Photo,
    degrade as degrade,
    frame_face as frame_face,
    load_face as load_face,
    read_image as read_image,
    read_photo as read_photo,
)
from .listing import Found as Found, find_photos as find_photos
from .sharpness import measure_sharpness as measure_sharpness
