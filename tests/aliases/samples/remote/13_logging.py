import logging

# Configura logging detalhado
logging.basicConfig(level=logging.DEBUG)
logger = logging.getLogger('sankhya_sdk.session')
logger.setLevel(logging.DEBUG)

# Logs incluirão:
# - Login/logout
# - Aquisição/liberação de sessões
# - Renovação de tokens
# - Erros de autenticação
