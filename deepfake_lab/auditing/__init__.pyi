from .checks import Finding as Finding
from .neutral import prepare as prepare
from .survey import Audit as Audit, audit as audit, facts_table as facts_table
