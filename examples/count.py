"""A method that streams: each line is forwarded to the caller as soon as it is flushed.

When the caller goes away the server ends this process, so there is nothing to clean up here.
"""

import json
import sys
import time

wanted = json.load(sys.stdin)
for number in range(1, wanted.get("to", 10) + 1):
    print(json.dumps(number), flush=True)
    time.sleep(wanted.get("pause", 0.1))
