"""What calls do to the world, as far as it is known without running them: the words of a card's `effects:`.

Soundness does not rest on the table of library calls: every call that is not a plain one on values of known builtin
type may raise and may run code of its arguments, whatever the table says. The table makes the effects readable
("write:files" rather than "unknown"), and cards add to it by `effects:`.
"""

import builtins
from collections.abc import Iterable

# Names and their effects. A name that ends in "." stands for all that begin with it, the longest one wins; "X()" is
# what a call of X gave. Functions that call their arguments are left out, or unknown.
_TABLE = {
    "abs all any ascii bin bool bytearray bytes callable chr complex dict divmod enumerate float format": "",
    "frozenset getattr hasattr hash hex id int isinstance issubclass len list max min object oct ord pow range": "",
    "repr reversed round set slice sorted str sum tuple type zip": "",
    "print sys.stdout. sys.stderr.": "print",
    "open": "read:files write:files",
    "itertools.accumulate itertools.dropwhile itertools.filterfalse itertools.groupby itertools.starmap": "unknown",
    "itertools.takewhile operator.methodcaller() sys.stdin. sys.settrace sys.setprofile": "unknown",
    "sys.exit": "raise",
    "sys.audit": "unknown",
    "stat. errno.": "",
    "math. cmath. string. operator. itertools. collections. fractions. decimal. unicodedata. difflib. textwrap.": "",
    "json.dumps json.loads re.compile re.match re.fullmatch re.search re.split re.findall re.finditer re.escape": "",
    "re.sub re.subn re.compile().search re.compile().match re.compile().fullmatch re.compile().findall": "",
    "re.match(). re.fullmatch(). re.search(). html. base64. binascii. hashlib.": "",
    "bisect.bisect bisect.bisect_left bisect.bisect_right heapq.nlargest heapq.nsmallest copy. statistics.": "",
    "urllib.parse. shlex. struct. zlib. colorsys. types. dataclasses. enum. fnmatch. ipaddress. datetime.": "",
    "posixpath. ntpath. ast. keyword. graphlib. numbers. calendar. functools.partial": "",
    "datetime.datetime.now datetime.datetime.utcnow datetime.datetime.today datetime.date.today": "clock",
    "time.": "clock",
    "time.gmtime time.localtime time.strftime time.ctime": "clock read:environment",
    "random. secrets. uuid. os.urandom os.getrandom": "random",
    "uuid.UUID uuid.uuid3 uuid.uuid5": "",
    "subprocess. multiprocessing. os.system os.popen os.kill os.killpg os.fork os.wait os.waitpid os.abort": "process",
    "os.execv os.execve os.execvp os.spawnl os.spawnv os.startfile os._exit signal.": "process",
    "os.environ. os.getenv os.getcwd os.getpid os.getuid os.getlogin os.cpu_count platform. sys.": "read:environment",
    "getpass.getuser socket.gethostname os.uname os.get_terminal_size locale. sysconfig.": "read:environment",
    "os.environ.update os.environ.pop os.environ.setdefault os.environ.clear": "write:environment",
    "os.putenv os.unsetenv": "write:environment",
    "os.chdir os.umask os.nice": "write:environment",
    "os.path.": "read:files",
    "os.path.join os.path.basename os.path.dirname os.path.split os.path.splitext os.path.normpath os.path.isabs": "",
    "os.path.normcase os.path.commonprefix os.path.commonpath os.fspath os.fsencode os.fsdecode": "",
    "os.listdir os.scandir os.walk os.stat os.lstat os.access os.readlink os.path.expanduser glob.": "read:files",
    "os.remove os.unlink os.rename os.renames os.replace os.mkdir os.makedirs os.rmdir os.removedirs": "write:files",
    "os.chmod os.chown os.link os.symlink os.utime os.truncate os.mkfifo shutil. tempfile.": "write:files",
    "shutil.which shutil.disk_usage filecmp. linecache. fileinput.": "read:files",
    "open().write open().writelines open().flush open().truncate open().close": "write:files",
    "open().read open().readline open().readlines open().seek open().tell": "read:files",
    "pathlib.Path pathlib.PurePath pathlib.PurePosixPath": "",
    "pathlib.Path().joinpath pathlib.Path().with_suffix pathlib.Path().with_name pathlib.Path().as_posix": "",
    "pathlib.Path().relative_to pathlib.Path().is_absolute pathlib.Path().match": "",
    "pathlib.Path(). pathlib.Path.cwd pathlib.Path.home": "read:files",
    "pathlib.Path().write_text pathlib.Path().write_bytes pathlib.Path().mkdir pathlib.Path().rmdir": "write:files",
    "pathlib.Path().unlink pathlib.Path().rename pathlib.Path().replace pathlib.Path().touch": "write:files",
    "pathlib.Path().chmod pathlib.Path().symlink_to pathlib.Path().hardlink_to": "write:files",
    "pathlib.Path().open": "read:files write:files",
    "socket. ssl. urllib.request. http.client. ftplib. smtplib. poplib. imaplib. xmlrpc.": "read:network write:network",
    "requests. httpx. aiohttp. urllib3.": "read:network write:network",
    "requests.get requests.head requests.options httpx.get httpx.head httpx.options": "read:network",
    "logging. syslog. warnings. traceback.print_exc": "log",
    "logging.getLogger": "",
    "contextlib.suppress contextlib.nullcontext threading.Lock threading.RLock": "",
}
_CALLS = {name: frozenset(words.split()) for names, words in _TABLE.items() for name in names.split()}
_CALLS |= {
    name: frozenset()
    for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, BaseException)
}

# What a method called so does on the objects that usually have it; the receiver is unknown, so "unknown" stays.
_METHODS = {
    "read_text read_bytes exists is_file is_dir iterdir glob rglob readline readlines": "read:files",
    "write_text write_bytes mkdir rmdir unlink touch writelines": "write:files",
    "debug info warning error exception critical": "log",
    "sendall recv connect urlopen": "read:network write:network",
}
_HINTS = {name: frozenset(words.split()) for names, words in _METHODS.items() for name in names.split()}

UNKNOWN = frozenset({"unknown"})


def effects_of_call(name: str) -> frozenset[str]:
    """The effects of calling `name`, a dotted name with imports resolved ("os.path.join", "open().read")."""
    if name in _CALLS:
        return _CALLS[name]
    module = name
    while "." in module:
        module = module.rpartition(".")[0]
        if module + "." in _CALLS:
            return _CALLS[module + "."]
    return UNKNOWN | _HINTS.get(name.rpartition(".")[2], frozenset())


def effects_of_open(mode: str | None) -> frozenset[str]:
    """The effects of `open` with this mode; None is one that is not written out."""
    if mode is None:
        return _CALLS["open"]
    if "+" in mode:
        return _CALLS["open"]
    return frozenset({"read:files"} if set(mode) <= set("rbt") else {"write:files"})


def ordered_effects(first: Iterable[str], second: Iterable[str]) -> list[str]:
    """The effects of two steps if they have to keep their order, else nothing: two reads do not, all others do."""
    first, second = set(first) - {"raise"}, set(second) - {"raise"}
    if not first or not second or all(word.startswith("read:") for word in first | second):
        return []
    return [", ".join(sorted(first)), ", ".join(sorted(second))]
