"""The text in a file's bytes: UTF-8, else UTF-16, or an older encoding if the text leaves no doubt which."""

import codecs
import re

_BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

# The most frequent characters of a language, by which its encodings are told apart: they are a third of its texts.
_ZH = """的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过
发后作里用道行所然家种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从
想实日军者意无力它与长把机十民第公此已工使情明性知全三又关点正业外将两高间由问很最重并物手应战向头文体政
美相见被利什二等产或新己制身果加西斯月话合回特代内信表化老给世位次度门任常先海通教儿原东声提立及比员解水
名真论处走义各入几口认条平系气题活尔更别打女变四神总何电数安少报才结反受目太量再感建务做接必场件计管期市
直德资命山金指克许统区保至队形社便空决治展马科司五基眼书非则听白却界达光放强即像难且权思王象完设式色路记
南品住告类求据程北边死张该交规万取拉格望觉术领共确传师观清今切院让识候带导争运用户助手请谢"""
_ZHT = """這個們來為國說時會對過發後裡種經麼學現當沒動還進樣開從實無與長機關點業將兩間問並應戰頭體產東
聲員論處義幾認條係氣題爾別變總電數報結務場計資許統區隊決馬書則聽卻達強難權設記類據邊張該規萬覺術領傳師觀
讓識帶導爭運請謝"""
_KO = """이다는의에을가고하지은도를나한사로기서어들자인대아리그라보수시해일전제것주만부원정구상니면으
게여동안스습요세장경과조비신중연있용우모분소성관내적개당화유오할했던위문때간미학생국실없공진체선마거말회
영방된행속력상계무입결데알려떻감씨"""
_FREQUENT = {
    "gb18030": frozenset(_ZH), "big5": frozenset(_ZH + _ZHT), "cp949": frozenset(_KO),
    "cp932": frozenset(map(chr, range(0x3041, 0x30FF))), "euc_jp": frozenset(map(chr, range(0x3041, 0x30FF))),
}  # fmt: skip
_LEAST = 0.12  # of the characters that are not ASCII
_MARGIN = 2  # times the second

_SINGLE = [
    "cp1252",
    "cp1250",
    "cp1251",
    "cp1253",
    "cp1254",
    "cp1255",
    "cp1256",
    "cp1257",
    "koi8_r",
    "cp866",
    "iso8859_2",
]
# Letters that are not ASCII, by language; a text in another language and encoding has others, or not only these.
_WESTERN = tuple(
    map(
        frozenset,
        ("äöüßé", "éèêëàâçîïôûùœæüÿ", "áéíóúñü", "áâãàçéêíóôõúü", "àèéìòùî", "åäöøæéü", "áéíóúýþæöð", "éëïöüèáóç"),
    )
)
_HUNGARIAN = frozenset("áéíóöõúüû")  # as cp1252 shows it
_SIGNS = re.compile("[«»„“”‘’‚–—…•°§·×€£©®™½\xa0´¿¡ªº\x00-\x7f]")
_SIGN_IN_WORD = re.compile(r"[^\W\d_][¿¡„“”«»‚•…§×·€£¥¢™®©][^\W\d_]")
_SAMPLE = 200_000  # bytes by which an encoding is told


class UnknownEncoding(ValueError):
    """Bytes that are no text, or text of which the encoding is not certain; the message says which it may be."""


def decode(data: bytes) -> str:
    """The text; a byte order mark stays only in UTF-8. Raises an `UnknownEncoding`."""
    encoding = next((name for bom, name in _BOMS if data.startswith(bom)), None)
    try:
        return data.decode(encoding or "utf-8") if encoding or not _utf16(data) else data.decode(_utf16(data))
    except UnicodeDecodeError as error:
        if encoding:
            raise UnknownEncoding(f"{encoding.upper()}, but damaged at byte {error.start}") from None
        first = error.start
    if data.count(0) * 100 > len(data):
        raise UnknownEncoding(f"binary, or in another encoding (byte {first})")
    encoding = _east_asian(data) or _single_byte(data)
    if not encoding:
        raise UnknownEncoding(f"binary, or in another encoding (byte {first})")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise UnknownEncoding(f"perhaps {encoding.upper()}, but not at byte {error.start}") from None


def _utf16(data: bytes) -> str | None:
    """The kind of UTF-16 without a mark: a null beside every line break and space, always on the same side."""
    sample = data[:_SAMPLE]
    if len(data) % 2 or sample.count(0) * 50 < len(sample):
        return None
    little = sum(sample[place : place + 2] in (b"\n\0", b" \0", b":\0", b".\0") for place in range(0, len(sample), 2))
    big = sum(sample[place : place + 2] in (b"\0\n", b"\0 ", b"\0:", b"\0.") for place in range(0, len(sample), 2))
    if max(little, big) * 100 < len(sample) // 2 or min(little, big) * 20 > max(little, big):
        return None
    encoding = "utf-16-le" if little > big else "utf-16-be"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        return None
    return None if re.search("[\0-\x08]", text) else encoding


def _east_asian(data: bytes) -> str | None:
    """The encoding of Chinese, Japanese or Korean in which frequent characters are frequent, if it is only one."""
    shares = {}
    for encoding, frequent in _FREQUENT.items():
        try:
            text = codecs.getincrementaldecoder(encoding)().decode(data[:_SAMPLE])
        except UnicodeDecodeError:
            continue
        other = [char for char in text if char > "\x7f" and char.isalpha()]
        half_wide = sum("\uff61" <= char <= "\uff9f" for char in other)
        private = sum("\ue000" <= char <= "\uf8ff" for char in text)
        if other and half_wide * 20 < len(other) and not private:
            shares[encoding] = sum(char in frequent for char in other) / len(other)
    best, *others = sorted(shares, key=shares.__getitem__, reverse=True) or [None]
    if not best or shares[best] < _LEAST or (others and shares[best] < _MARGIN * shares[others[0]]):
        return None
    return best


def _single_byte(data: bytes) -> str | None:
    """The encoding of a European or Near Eastern language, if the letters fit only one."""
    import charset_normalizer

    if western := _western(data[:_SAMPLE].decode("cp1252", "replace")):
        return western
    found = list(charset_normalizer.from_bytes(data[:_SAMPLE], cp_isolation=_SINGLE))
    if not found or found[0].percent_chaos > 2 or found[0].percent_coherence < 30:
        return None
    rivals = [match for match in found[1:] if str(match) != str(found[0]) and match.percent_chaos <= 2]
    text = str(found[0])
    if _SIGN_IN_WORD.search(text) or (re.search("[йщъыьэюяё]", text) and re.search("[ЂЃѓЉЊЌЋЏђљњќћџ]", text)):
        return None  # Russian with letters of Serbian
    sure = all(match.percent_coherence + 5 < found[0].percent_coherence for match in rivals)
    return found[0].encoding if sure else None


def _western(text: str) -> str | None:
    """cp1252 (or cp1250 for Hungarian) if a text that was decoded as cp1252 has just the letters of a language."""
    letters = set(_SIGNS.sub("", text).lower())
    if _SIGN_IN_WORD.search(text) or re.search(r"[^\W\d_a-zA-Z]{3}", text):
        return None
    if letters & {"õ", "û"} and letters <= _HUNGARIAN:
        return "cp1250"
    if not any(letters <= language for language in _WESTERN):
        return None
    within = len(re.findall(r"[àèìòù](?=\w)", text.lower()))
    doubtful = (
        letters & set("þðý") and not letters & set("áéíóúæ"),  # Turkish
        letters & set("œæ") and not letters & set("éèàçøåö"),  # Polish
        "ì" in letters and within * 4 > len(re.findall("[àèìòù]", text.lower())),  # Czech
    )
    return None if any(doubtful) else "cp1252"
