"""A method in Python: reads one JSON value, writes one."""

import json
import sys

print(json.dumps(json.load(sys.stdin).upper()))
