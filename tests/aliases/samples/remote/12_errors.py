from sankhya_sdk.exceptions import (
    ServiceRequestInvalidAuthorizationException,
    ServiceRequestException,
)

try:
    result = ctx.wrapper.find(Partner, "CODPARC > 0")
except ServiceRequestInvalidAuthorizationException:
    # Credenciais inválidas - não adianta retry
    raise
except ServiceRequestException as e:
    if "session expired" in str(e).lower():
        # Sessão expirada - SDK deve reautenticar automaticamente
        # Se chegou aqui, algo está errado
        ctx.dispose()
        ctx = SankhyaContext.from_settings()
        result = ctx.wrapper.find(Partner, "CODPARC > 0")
