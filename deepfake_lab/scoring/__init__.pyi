from .answering import predict as predict
from .scorefile import ScoreFile as ScoreFile
