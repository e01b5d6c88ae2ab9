from sankhya_sdk.core.settings import SankhyaSettings

settings = SankhyaSettings(
    base_url="https://api.sankhya.com.br",
    username="usuario",
    password="senha",
    session_timeout=300,  # 5 minutos
    auto_renew_session=True  # Renovação automática
)

ctx = SankhyaContext(settings)
