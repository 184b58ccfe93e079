"""
A small Hugging Face Hub on this machine, for the real client: users, repositories, commits, branches, tags, LFS.

    with LoopbackHub({"hf_ann": "ann"}) as hub:  # token -> user
        ...  # HF_ENDPOINT=hub.url, HF_TOKEN=hf_ann, HF_HUB_DISABLE_XET=1 for a client process
        hub.repos["model", "ann/name"].commits

Everything is kept in memory. It implements the requests of the clients of huggingface_hub, transformers and datasets,
and no others. `hub.uploads_to_cut = 1` interrupts the next upload of a large file and then sets `hub.upload_was_cut`.
"""

import base64
import hashlib
import json
import threading
import time
from dataclasses import dataclass, field
from urllib.parse import parse_qs

import uvicorn
import yaml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

LFS_SUFFIXES = (".onnx", ".parquet", ".safetensors")


@dataclass(frozen=True)
class Blob:
    content: bytes
    is_lfs: bool

    @property
    def oid(self) -> str:
        """Hash by which the client detects changes: that of git, or of the content for LFS."""
        if self.is_lfs:
            return hashlib.sha256(self.content).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(self.content) + self.content).hexdigest()

    def describe(self, path: str) -> dict:
        description = {"type": "file", "path": path, "size": len(self.content), "oid": self.oid}
        lfs = {"oid": self.oid, "size": len(self.content), "pointerSize": 134}
        return description | ({"lfs": lfs} if self.is_lfs else {})


@dataclass
class Repo:
    type: str
    id: str
    private: bool
    sdk: str | None
    commits: dict[str, dict[str, Blob]] = field(default_factory=dict)  # all files of each commit, in order
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def commit(self, branch: str, files: dict[str, Blob]) -> str:
        oid = hashlib.sha1(f"{self.id} {len(self.commits)}".encode()).hexdigest()
        self.commits[oid] = files
        self.branches[branch] = oid
        return oid

    def files(self, revision: str = "main") -> dict[str, Blob]:
        return self.commits[self.resolve(revision)]

    def resolve(self, revision: str) -> str:
        """The commit that a branch, a tag or a commit's own id stands for."""
        oid = self.branches.get(revision) or self.tags.get(revision) or revision
        if oid not in self.commits:
            raise Refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return oid

    def url(self, endpoint: str) -> str:
        return f"{endpoint}/{'' if self.type == 'model' else f'{self.type}s/'}{self.id}"


class Refusal(Exception):
    def __init__(self, status: int, code: str, message: str):
        self.response = JSONResponse(
            {"error": message}, status, headers={"X-Error-Code": code, "X-Error-Message": message}
        )


class CutOff(Response):
    """An answer that ends before it is there: the server closes the connection."""

    async def __call__(self, scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]})


class LoopbackHub:
    """The Hub, running within `with`. `repos` holds a `Repo` for each (type, "user/name")."""

    def __init__(self, tokens: dict[str, str]):
        self.tokens = tokens
        self.repos: dict[tuple[str, str], Repo] = {}
        self.uploads: dict[str, bytes] = {}  # of LFS, by sha256
        self.uploads_to_cut = 0
        self.upload_was_cut = threading.Event()
        routes = [
            Route("/api/repos/create", self.create, methods=["POST"]),
            Route("/api/validate-yaml", self.validate_yaml, methods=["POST"]),
            Route("/upload/{oid}", self.upload, methods=["PUT"]),
        ]
        for prefix in ("/api/models", "/api/datasets", "/api/spaces"):
            repo = f"{prefix}/{{user}}/{{name}}"
            routes += [
                Route(repo, self.describe),
                Route(f"{repo}/revision/{{revision}}", self.describe),
                Route(f"{repo}/refs", self.list_refs),
                Route(f"{repo}/tree/{{revision}}", self.list_tree),
                Route(f"{repo}/tree/{{revision}}/{{path:path}}", self.list_tree),
                Route(f"{repo}/paths-info/{{revision}}", self.describe_paths, methods=["POST"]),
                Route(f"{repo}/branch/{{branch}}", self.create_branch, methods=["POST"]),
                Route(f"{repo}/tag/{{revision}}", self.create_tag, methods=["POST"]),
                Route(f"{repo}/preupload/{{revision}}", self.choose_upload_modes, methods=["POST"]),
                Route(f"{repo}/commit/{{revision}}", self.commit, methods=["POST"]),
            ]
        for prefix in ("/datasets", "/spaces", ""):
            repo = f"{prefix}/{{user}}/{{name}}"
            routes += [
                Route(f"{repo}.git/info/lfs/objects/batch", self.offer_uploads, methods=["POST"]),
                Route(f"{repo}/resolve/{{revision}}/{{path:path}}", self.download, methods=["GET", "HEAD"]),
            ]
        refuse = {Refusal: lambda request, refusal: refusal.response}
        app = Starlette(routes=routes, exception_handlers=refuse)
        self._server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical"))
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def __enter__(self) -> "LoopbackHub":
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                raise RuntimeError("the Hub of the tests did not start")
            time.sleep(0.01)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        return self

    def __exit__(self, *error):
        self._server.should_exit = True
        self._thread.join()

    # Who may do what

    def _user(self, request: Request) -> str | None:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token and token not in self.tokens:
            raise Refusal(401, "", "Invalid credentials in Authorization header")
        return self.tokens.get(token)

    def _repo(self, request: Request, write: bool = False) -> Repo:
        kind = next((kind for kind in ("dataset", "space") if f"/{kind}s/" in request.url.path), "model")
        user, owner = self._user(request), request.path_params["user"]
        repo = self.repos.get((kind, f"{owner}/{request.path_params['name']}"))
        if repo is None or (repo.private and user != owner):
            raise Refusal(404 if user else 401, "RepoNotFound", "Repository not found")
        if write and user != owner:
            raise Refusal(403, "", "You have no right to write here")
        return repo

    # Repositories

    async def create(self, request: Request) -> Response:
        asked, user = await request.json(), self._user(request)
        if user is None:
            raise Refusal(401, "", "Invalid username or password.")
        owner = asked["organization"] or user
        if owner != user:
            raise Refusal(403, "", f"You don't have the rights to create a repository under the namespace {owner!r}")
        kind = asked.get("type", "model")
        repo = Repo(kind, f"{owner}/{asked['name']}", asked.get("visibility") == "private", asked.get("sdk"))
        status = 409 if (kind, repo.id) in self.repos else 200
        if status == 200:
            self.repos[kind, repo.id] = repo
            repo.commit("main", {".gitattributes": Blob(b"*.safetensors filter=lfs\n", is_lfs=False)})
        return JSONResponse({"url": repo.url(self.url), "error": "You already created this repo"}, status)

    async def describe(self, request: Request) -> Response:
        repo = self._repo(request)
        sha = repo.resolve(request.path_params.get("revision", "main"))
        files = repo.commits[sha]
        description = {"id": repo.id, "sha": sha, "private": repo.private, "tags": []}
        if "README.md" in files:
            description["pipeline_tag"] = _front_matter(files["README.md"].content.decode()).get("pipeline_tag")
        return JSONResponse(description | {"siblings": [{"rfilename": path} for path in files]})

    async def list_refs(self, request: Request) -> Response:
        repo = self._repo(request)

        def describe(refs: dict[str, str], place: str) -> list[dict]:
            return [{"name": name, "ref": f"refs/{place}/{name}", "targetCommit": oid} for name, oid in refs.items()]

        branches, tags = describe(repo.branches, "heads"), describe(repo.tags, "tags")
        return JSONResponse({"branches": branches, "tags": tags, "converts": []})

    async def create_branch(self, request: Request) -> Response:
        repo = self._repo(request, write=True)
        if request.path_params["branch"] in repo.branches:
            raise Refusal(409, "", "Reference already exists")
        repo.branches[request.path_params["branch"]] = repo.branches["main"]
        return JSONResponse({})

    async def create_tag(self, request: Request) -> Response:
        repo, tag = self._repo(request, write=True), (await request.json())["tag"]
        if tag in repo.tags:
            raise Refusal(409, "", "Tag reference exists already")
        repo.tags[tag] = repo.resolve(request.path_params["revision"])
        return JSONResponse({})

    # Up

    async def validate_yaml(self, request: Request) -> Response:
        try:
            _front_matter((await request.json())["content"])
        except (ValueError, yaml.YAMLError) as error:
            return JSONResponse({"errors": [{"message": str(error)}], "warnings": []}, 400)
        return JSONResponse({"errors": [], "warnings": []})

    async def choose_upload_modes(self, request: Request) -> Response:
        repo = self._repo(request, write=True)
        here = repo.files(request.path_params["revision"])
        files = [
            {
                "path": path,
                "uploadMode": "lfs" if path.endswith(LFS_SUFFIXES) else "regular",
                "shouldIgnore": False,
                "oid": here[path].oid if path in here else None,
            }
            for path in (file["path"] for file in (await request.json())["files"])
        ]
        return JSONResponse({"files": files})

    async def offer_uploads(self, request: Request) -> Response:
        self._repo(request, write=True)
        objects = [{"oid": asked["oid"], "size": asked["size"]} for asked in (await request.json())["objects"]]
        for offer in objects:
            if offer["oid"] not in self.uploads:
                offer["actions"] = {"upload": {"href": f"{self.url}/upload/{offer['oid']}"}}
        return JSONResponse({"transfer": "basic", "objects": objects})

    async def upload(self, request: Request) -> Response:
        if self.uploads_to_cut:
            self.uploads_to_cut -= 1
            await anext(request.stream())  # the beginning of it
            self.upload_was_cut.set()
            return CutOff()
        content = await request.body()
        if hashlib.sha256(content).hexdigest() != request.path_params["oid"]:
            raise Refusal(400, "", "this is not the content that was announced")
        self.uploads[request.path_params["oid"]] = content
        return Response()

    async def commit(self, request: Request) -> Response:
        repo, branch = self._repo(request, write=True), request.path_params["revision"]
        files = dict(repo.files(branch))
        for line in (await request.body()).splitlines():
            item = json.loads(line)
            key, value = item["key"], item["value"]
            if key == "header" and value.get("parentCommit", repo.branches[branch]) != repo.branches[branch]:
                raise Refusal(412, "", "A commit has happened since")
            if key == "file":
                files[value["path"]] = Blob(base64.b64decode(value["content"]), is_lfs=False)
            elif key == "lfsFile":
                files[value["path"]] = Blob(self.uploads[value["oid"]], is_lfs=True)
            elif key == "deletedFile":
                del files[value["path"]]
        oid = repo.commit(branch, files)
        return JSONResponse({"commitOid": oid, "commitUrl": f"{repo.url(self.url)}/commit/{oid}"})

    # Down

    async def list_tree(self, request: Request) -> Response:
        files, path = self._repo(request).files(request.path_params["revision"]), request.path_params.get("path", "")
        below = f"{path}/" if path else ""
        inside = {file: blob for file, blob in files.items() if file.startswith(below)}
        if below and not inside:
            raise Refusal(404, "EntryNotFound", f"{path} does not exist")
        recursive = request.query_params.get("recursive", "").lower() == "true"
        direct = {file: blob for file, blob in inside.items() if "/" not in file.removeprefix(below)}
        folders = sorted({below + file.removeprefix(below).split("/")[0] for file in inside.keys() - direct.keys()})
        entries = [_describe_folder(folder) for folder in folders]
        entries += [blob.describe(file) for file, blob in (inside if recursive else direct).items()]
        return JSONResponse(entries)

    async def describe_paths(self, request: Request) -> Response:
        files = self._repo(request).files(request.path_params["revision"])
        paths = parse_qs((await request.body()).decode())["paths"]
        entries = [files[path].describe(path) for path in paths if path in files]
        folders = [path for path in paths if any(file.startswith(f"{path}/") for file in files)]
        return JSONResponse(entries + [_describe_folder(path) for path in folders])

    async def download(self, request: Request) -> Response:
        repo, path = self._repo(request), request.path_params["path"]
        sha = repo.resolve(request.path_params["revision"])
        blob = repo.commits[sha].get(path)
        if blob is None:
            raise Refusal(404, "EntryNotFound", f"{path} does not exist")
        headers = {"X-Repo-Commit": sha, "ETag": f'"{blob.oid}"', "Accept-Ranges": "bytes"}
        if blob.is_lfs:
            headers |= {"X-Linked-Etag": f'"{blob.oid}"', "X-Linked-Size": str(len(blob.content))}
        if "range" not in request.headers:
            return Response(blob.content, headers=headers)
        first, _, last = request.headers["range"].removeprefix("bytes=").partition("-")
        start, end = int(first), min(int(last or len(blob.content)), len(blob.content) - 1)
        headers["Content-Range"] = f"bytes {start}-{end}/{len(blob.content)}"
        return Response(blob.content[start : end + 1], 206, headers)


def _describe_folder(path: str) -> dict:
    return {"type": "directory", "path": path, "oid": hashlib.sha1(path.encode()).hexdigest()}


def _front_matter(text: str) -> dict:
    """Raises `ValueError` or `yaml.YAMLError` where there is none."""
    if not text.startswith("---\n") or "\n---" not in text:
        raise ValueError("there is no front matter")
    found = yaml.safe_load(text.removeprefix("---\n").partition("\n---")[0])
    if not isinstance(found, dict):
        raise ValueError("the front matter is no mapping")
    return found
