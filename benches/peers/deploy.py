"""The forty statements for pyinfra."""

from pyinfra import host
from pyinfra.facts.files import File
from pyinfra.operations import files, server

OWNER = {"user": "root", "group": "root"}

for name in ("conf", "data", "keys", "log", "spool"):
    files.directory(path=f"/srv/{name}", mode="750", **OWNER)

for item in range(1, 26):
    files.template(
        src="hoist/templates/peers/service.conf",
        dest=f"/srv/conf/service-{item}.conf",
        mode="640",
        item=item,
        **OWNER,
    )

for item in range(1, 6):
    index = f"/srv/data/index-{item}"
    if not host.get_fact(File, path=index):
        server.shell(commands=[f"sort -u /srv/conf/service-{item}.conf > {index}"])

for item in range(1, 6):
    files.line(path="/srv/settings", line=f"setting-{item} = on")
