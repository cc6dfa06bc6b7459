// Runs an .onnx model of this bundle with ONNX Runtime.
// build.gradle.kts: implementation("com.microsoft.onnxruntime:onnxruntime-android:1.22.0") or newer

import ai.onnxruntime.OnnxJavaType
import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtSession
import java.io.Closeable
import java.nio.FloatBuffer

/** One input: raw values in the units of manifest.json, and their shape (1, C, size...). */
class Input(val name: String, val values: FloatArray, val shape: LongArray)

/** A model from the bytes of a file in assets, on `threads` CPU threads. */
class AutomedOnnx(model: ByteArray, threads: Int = 1) : Closeable {
    private val environment = OrtEnvironment.getEnvironment()
    private val session: OrtSession = environment.createSession(
        model,
        OrtSession.SessionOptions().apply { setIntraOpNumThreads(threads) },
    )

    /** Outputs of one sample by name, as flat arrays; shapes are in manifest.json. */
    fun run(inputs: List<Input>): Map<String, FloatArray> {
        val tensors = inputs.associate {
            it.name to OnnxTensor.createTensor(environment, FloatBuffer.wrap(it.values), it.shape)
        }
        try {
            session.run(tensors).use { result ->
                return result.associate { (name, value) -> name to floats(value as OnnxTensor) }
            }
        } finally {
            tensors.values.forEach { it.close() }
        }
    }

    private fun floats(tensor: OnnxTensor): FloatArray = when (tensor.info.type) {
        OnnxJavaType.FLOAT -> tensor.floatBuffer.let { FloatArray(it.remaining()) { _ -> it.get() } }
        OnnxJavaType.INT64 ->
            tensor.longBuffer.let { FloatArray(it.remaining()) { _ -> it.get().toFloat() } }
        else -> tensor.byteBuffer.let { FloatArray(it.remaining()) { _ -> (it.get().toInt() and 255).toFloat() } }
    }

    override fun close() = session.close()
}
