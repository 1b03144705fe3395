"""One session of requests': server URL, conductor URL, rounds."""

import sys

import requests

server, conductor, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
session = requests.Session()

for number in range(rounds + 1):
    if number > 0:
        session.get(conductor, timeout=60).raise_for_status()
    answer = session.get(server, timeout=60)
    answer.raise_for_status()
    print(answer.text, answer.headers["x-generation"])
