"""What the processes of the tests' sessions run first: they do without numpy, as after `pip install pytest-fcpivot`.

Only the tests' own statistics need it. Where it is installed, pyarrow loads it: 0.15 s of every process. Searching for
garbage while modules are imported, of which there is hardly any, takes 0.06 s more.
"""

import gc
import sys

sys.modules["numpy"] = None  # type: ignore[assignment] # Python's own way to say that there is no such module
gc.set_threshold(50_000)
