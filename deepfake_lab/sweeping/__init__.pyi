from .space import Space as Space, read_space as read_space
from .study import Sweep as Sweep, run_sweep as run_sweep
