from .app import create_app as create_app
from .server import load_detector as load_detector, serve as serve
