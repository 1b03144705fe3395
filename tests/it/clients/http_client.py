"""One connection of http.client's: server URL, conductor URL, rounds."""

import http.client
import sys
import urllib.parse
import urllib.request

server, conductor, rounds = urllib.parse.urlsplit(sys.argv[1]), sys.argv[2], int(sys.argv[3])
connection = http.client.HTTPConnection(server.netloc, timeout=60)
# It would open another connection in silence.
connection.connect()
connection.auto_open = 0

for number in range(rounds + 1):
    if number > 0:
        urllib.request.urlopen(conductor, timeout=60).close()
    connection.request("GET", server.path)
    answer = connection.getresponse()
    print(answer.read().decode(), answer.getheader("x-generation"))
