"""The web page and its JSON API. Start it with ``python run.py``; TensorFlow is never imported."""

from deepfake_lab.web.app import create_app
from deepfake_lab.web.server import serve

__all__ = ["create_app", "serve"]
