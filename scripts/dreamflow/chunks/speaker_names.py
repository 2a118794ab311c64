"""The words that texts use for the two sides of a conversation, and words of the same form that name no speaker."""

import re
from functools import lru_cache

_NAMES = {
    "user": """user human you me 用户 用戶 人类 人類 我 ユーザー ユーザ 人間 사용자 nutzer benutzer utilisateur usuario
    utente usuário gebruiker пользователь""",
    "assistant": """assistant ai bot chatgpt claude gpt gpt-4 gpt-4o gemini copilot 助手 助理 アシスタント 어시스턴트
    assistent asistente assistente ассистент""",
    "system": "system 系统 系統 システム 시스템 система",
}
# The names of all readers: also the roles in JSON are renamed by them, so a new one would change what was read before.
ROLES = {name: role for role, names in _NAMES.items() for name in names.split()}

# More names of labels, one a word or in "quotation marks".
_MORE = {
    "user": """
    nutzerin benutzerin utilisatrice usuaria usuária utilizador utilizadora gebruikster użytkownik
    użytkowniczka uživatel používateľ felhasználó utilizator kullanıcı käyttäjä användare användaren bruger
    bruker пользовательница користувач потребител χρήστης المستخدم مستخدم משתמש उपयोगकर्ता ผู้ใช้
    "người dùng" pengguna 使用者 提问者 用户提问 유저 "the user" "human user"
    """,
    "assistant": """
    assistants deepseek deepthink grok mistral "le chat" llama qwen kimi perplexity bard "bing chat"
    "bing ai" "microsoft copilot" "github copilot" "meta ai" ernie doubao chatglm minimax hunyuan cohere
    command-r gemma vicuna alpaca mixtral "claude code" "openai assistant" "ai assistant" "ai agent" chatbot
    llm "google gemini" "google bard" poe huggingchat "you.com" 助理ai ai助手 人工智能 智能助手 机器人
    機器人 文心一言 通义千问 通義千問 豆包 元宝 智谱清言 "ai アシスタント" ボット 챗봇 인공지능 asystent
    asystentka asistent asistentka asszisztens asistan avustaja assistenten асистент помощник бот чатгпт
    нейросеть βοηθός المساعد مساعد העוזר עוזר सहायक ผู้ช่วย "trợ lý" asisten ии "asistente de ia"
    "assistente de ia" "assistant ia" "ki-assistent" sztuczna inteligencja "yapay zeka"
    """,
}

# Words that are speakers only beside the word of the other side, in the same form: pronouns, and parts of texts.
_PAIRED = {
    "user": """
    i prompt prompts question q ask query input request "user prompt" "user question" "user input"
    "user message" "user query" "my prompt" "my question" "your prompt" "your question" "user request"
    customer client student patient 问 问题 提问 提示 提示词 問 問題 質問 プロンプト 질문 프롬프트 frage
    vraag question pregunta domanda pergunta вопрос запрос pytanie otázka kérdés soru kysymys fråga
    spørgsmål spørsmål ερώτηση سؤال שאלה prośba anfrage eingabe consulta prompten ich du sie je moi vous toi
    tu yo tú usted vos io lei eu você jij ik u ja ty anda saya kamu я вы ты ви ти 你 您 私 あなた 僕 나 저
    당신 bạn คุณ أنت أنا אתה jag mig mig jeg minä ben sen
    """,
    "assistant": """
    response responses answer a reply "ai response" "ai answer" "ai reply" "chatgpt response"
    "chatgpt answer" "claude response" "gemini response" "gpt response" "assistant response"
    "assistant answer" "assistant reply" "assistant message" "model response" "bot response" "llm response"
    model ai模型 support agent cursor codex openai anthropic pi bing poe phi yi glm o1 o3 o4 ki ia tool 答
    回答 答案 回复 回覆 解答 応答 返答 답변 응답 답 antwort antwoord réponse respuesta risposta resposta
    ответ odpowiedź odpověď válasz cevap yanıt vastaus svar απάντηση إجابة جواب תשובה odpowiedz ausgabe
    """,
}


def _words(names: str) -> list[str]:
    return [quoted or word for quoted, word in re.findall(r'"([^"]+)"|(\S+)', names)]


_KNOWN = {**{name: role for role, names in _MORE.items() for name in _words(names)}, **ROLES}
_WEAK = {name: role for role, names in _PAIRED.items() for name in _words(names)}

# A product and its version: "GPT-4o mini", "Claude 3.5 Sonnet", "DeepSeek-R1".
_VERSION = r"""(?:v?\d[\w.]*|o\d|pro|mini|nano|flash|lite|sonnet|opus|haiku|turbo|plus|max|ultra|advanced|thinking
|preview|instant|large|small|medium|instruct|coder|code|chat|ai|le|r\d|experimental|latest|beta|high|low|reasoner|agent
|online|bot|search|research|deep|assistant|app|free|team|enterprise|fast|quality|sonar)"""
_MODEL = re.compile(
    rf"""(?:chat-?gpt|gpt|claude|gemini|deepseek|grok|mistral|mixtral|llama|qwen|kimi|gemma|copilot|perplexity)
    (?:[\s\u2010-\u2013_-]*+{_VERSION})*+""",
    re.X | re.I,
)

# "You said", "ChatGPT a dit", "来自你的消息": how pages and apps put it, by language.
_SAID = """
    said says wrote asked replied answered responded "a dit" "avez dit" "as dit" dijo dijiste "ha dicho"
    "has dicho" disse "ha detto" "hai detto" sagte sagten "hat gesagt" "hast gesagt" "haben gesagt" zei zegt
    сказал сказала сказали говорит сказав powiedział powiedziała powiedziałeś "dedi ki" "dedin ki" dedi
    "đã nói" nói bilang berkata 说 說 說道 说道 さん の発言 が言いました 의\u2009말 의말 "의 말" 的消息
    " 的消息" 的回复 的回答 的提问 的问题 sa säger sier
    """
_SAID_AFTER = re.compile(rf"\s*(?:{'|'.join(sorted(map(re.escape, _words(_SAID)), key=len, reverse=True))})$", re.I)
_FROM_BEFORE = re.compile(
    r"(?:(?:message|messages|nachricht|mensaje|message) )?(?:from|von|de|by)\s+|(?:来自|來自)\s*|(?:the |my )", re.I
)
# Whole phrases whose verb has the person in it.
_PHRASES = {
    **dict.fromkeys(
        """tú dijiste|has dicho|dijiste|vous avez dit|tu as dit|du hast gesagt|sie haben gesagt|sie sagten|hai detto|
        você disse|dedin ki|вы сказали|ви сказали|powiedziałeś(-aś)|powiedziałeś|je zei|u zei|anda bilang|bạn đã nói|
        du sa|du sade|나의 말|내가 한 말|あなたの発言|قلت|sinä sanoit|ai spus|řekli jste""".replace("\n", "").split(
            "|"
        ),
        "user",
    )
}
_PHRASES = {" ".join(phrase.split()): role for phrase, role in _PHRASES.items()}

# Labels inside of what people and models write.
_NO_SPEAKERS = frozenset(
    _words(
        """
    note notes nb hint hints tip tips important warning caution danger info information attention remember
    reminder example examples "for example" sample usage output input result results return returns
    parameters parameter params args arguments argument error errors exception traceback summary conclusion
    overview introduction background context goal goals objective objectives purpose scope task tasks todo
    "to do" step steps phase part section chapter stage option options solution solutions problem problems
    issue issues cause causes reason reasons fix fixes bug bugs steps "next steps" pros cons advantages
    disadvantages benefits drawbacks strengths weaknesses risks risk limitation limitations details detail
    description definition explanation analysis discussion features feature requirements requirement
    prerequisites installation setup configuration config settings code command commands file files filename
    path language languages format type types name title subject topic topics date dates time times created
    updated exported modified model link url source sources reference references see "see also" version
    platform tags tag keywords category categories status priority author location address phone email
    e-mail website host port database password username login key keys value values default ps p.s tl;dr
    tldr fazit hinweis beispiel achtung wichtig tipp zusammenfassung quelle ergebnis ausgabe eingabe lösung
    remarque exemple attention astuce résumé nota ejemplo importante consejo resumen esempio exemplo dica
    resumo 注 注意 说明 例 例如 示例 提示 总结 结论 步骤 输出 输入 原因 解决方案 优点 缺点 备注 参考 メモ
    ポイント 例えば 結論 まとめ 주의 예 결론 примечание пример важно внимание итог вывод совет from to cc
    bcc re fwd sent received ingredients instructions directions method methods materials before after
    english german french spanish translation original http https ftp mailto day week month year morning
    afternoon evening monday tuesday wednesday thursday friday saturday sunday price cost total amount
    budget size weight height width length color colour material count number messages "time complexity"
    "space complexity" complexity approach idea "key idea" "key points" "key takeaways" takeaways verdict
    recommendation recommendations suggestion suggestions correction corrections changes change why how what
    when where who yes no ok first second third finally then else if reasoning thinking thoughts thought
    sources citations footnotes attachments attachment image images table figure appendix references
    bibliography acknowledgements abstract license
    """
    )
)


@lru_cache(maxsize=4096)
def role_of(name: str) -> tuple[str | None, bool]:
    """The role that a label names, and whether it does so alone; (None, False) for another name."""
    plain = " ".join(name.split()).casefold()
    for form in (plain, *_forms(plain)):
        if form in _KNOWN or _MODEL.fullmatch(form):
            return _KNOWN.get(form, "assistant"), True
        if form in _PHRASES:
            return _PHRASES[form], True
    for form in (plain, *_forms(plain)):
        if form in _WEAK:
            return _WEAK[form], form != plain and bool(_SAID_AFTER.search(plain))
    return None, False


def _forms(name: str) -> list[str]:
    """A name without the words around it."""
    bare = re.sub(r"\s*[(\[（][^()\[\]（）]*[)\]）]$", "", name)
    after = _SAID_AFTER.sub("", bare)
    before = _FROM_BEFORE.sub("", after, count=1) if _FROM_BEFORE.match(after) else after
    alternatives = [bare, after, before]
    if "/" in bare:  # 用户 / User
        alternatives.append(bare.split("/")[0].strip())
    return [form for form in dict.fromkeys(alternatives) if form and form != name]


def is_no_speaker(name: str) -> bool:
    """Whether a label is a word that texts have inside of what one speaker says, such as "Note" or "Step 2"."""
    plain = re.sub(r"\s*\([^()]*\)$|[\s#.:(]*\d*[.)]*$", "", " ".join(name.split()).casefold())
    return (
        not plain
        or plain in _NO_SPEAKERS
        or plain.split()[0] in ("step", "option", "example", "note", "the", "a", "an")
    )
