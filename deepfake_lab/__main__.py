"""`python -m deepfake_lab`, which is the command `deepfake-lab`."""

import sys

from deepfake_lab.cli import main

sys.exit(main())
