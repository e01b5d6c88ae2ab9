import logging

logging.basicConfig(level=logging.DEBUG)
logger = logging.getLogger('modules.session_management')
