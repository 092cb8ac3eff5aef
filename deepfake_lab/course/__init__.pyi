from .exercises import check as check, exercise as exercise, grade as grade
from .quizzes import quiz as quiz
from .running import KernelDied as KernelDied, run_course as run_course
