import threading
from concurrent.futures import ThreadPoolExecutor
from sankhya_sdk import SankhyaContext
from sankhya_sdk.request_wrappers import SimpleCRUDRequestWrapper

ctx = SankhyaContext.from_settings()

def process_batch(batch_id: int, items: list):
    """Processa um lote em uma thread separada."""
    token = ctx.acquire_session()
    try:
        # Cada thread tem sua própria sessão
        for item in items:
            result = ctx.invoke_with_token(
                token, 
                "CRUDServiceProvider.saveRecord",
                build_request(item)
            )
            print(f"Batch {batch_id}: Processado item {item['id']}")
    finally:
        ctx.finalize_session(token)

# Divide trabalho em lotes
all_items = [...]  # Lista de items
batches = [all_items[i:i+100] for i in range(0, len(all_items), 100)]

# Processa em paralelo
with ThreadPoolExecutor(max_workers=5) as executor:
    futures = [
        executor.submit(process_batch, i, batch)
        for i, batch in enumerate(batches)
    ]
    
    for future in futures:
        future.result()  # Aguarda conclusão

ctx.dispose()
